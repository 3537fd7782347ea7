"""How a run is carried out, whatever verb it is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from striate.core.cache import Cache


@dataclass
class Options:
    """How a run is carried out; nothing here changes its numbers.

    Attributes:
        command: the command line that repeats the run.
        overwrite: go on in a folder that holds a run with another config.
        progress: whether to draw progress bars.
        cache: where decoded images and features are kept.
        say: called with each line for the user.
    """

    command: str = ""
    overwrite: bool = False
    progress: bool = True
    cache: Cache = field(default_factory=Cache)
    say: Callable[[str], None] = print
