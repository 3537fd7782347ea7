"""One of several processes that call a verb; started by test_grow of evaluate under torchrun."""

from __future__ import annotations

from striate.cli import main

if __name__ == "__main__":
    main()
