"""Does tuning to a brain area help? `compare`, and its halves `tune` and `encode`."""
