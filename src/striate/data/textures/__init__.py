"""Naturalistic textures and noise of their spectrum."""
