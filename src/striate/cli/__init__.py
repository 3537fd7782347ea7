"""The command line, one file a verb. `main` is what `striate` runs."""

from striate.cli.main import main

__all__ = ["main"]
