"""The command line, from the table of verbs. `main` is what `striate` runs."""

from striate.cli.main import main

__all__ = ["main"]
