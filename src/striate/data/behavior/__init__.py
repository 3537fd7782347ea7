"""Decisions of observers about images."""
