"""Training a recognition network with labels."""
