"""How well do models predict neurons? `predict`."""
