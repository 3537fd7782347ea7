"""Tuning a network to brain responses."""
