"""The page of `compare`, `encode` and `demo`: what tuning changed, with controls."""
