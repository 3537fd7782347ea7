"""One loop of all learning, and what it stands on."""
