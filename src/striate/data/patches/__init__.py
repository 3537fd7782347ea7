"""Pairs of deformed patches of photographs."""
