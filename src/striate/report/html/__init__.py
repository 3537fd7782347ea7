"""Pieces of HTML, and what the pages of all verbs share."""
