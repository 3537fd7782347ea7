"""Striate: build image models of the visual cortex and find out, honestly, how good they are."""

__version__ = "0.1.0"
