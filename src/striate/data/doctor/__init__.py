"""`diagnose`: what a data folder is, and all that is wrong with it."""
