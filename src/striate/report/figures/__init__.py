"""Figures, each from tables that were computed elsewhere."""
