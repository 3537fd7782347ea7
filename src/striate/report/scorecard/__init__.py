"""Models of many runs side by side."""
