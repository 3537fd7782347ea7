"""Templates, and what the pages of all verbs share."""
