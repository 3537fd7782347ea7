"""One look for all progress bars: they are drawn by rich, on the terminal, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track

Item = TypeVar("Item")


def track_progress(
    items: Sequence[Item] | Iterable[Item], label: str, *, shown: bool = True
) -> Iterator[Item]:
    """Yield `items` in order, with a bar that goes when the last one is done.

    Args:
        items: anything with a length, or any other iterable, whose end the bar then cannot tell.
        label: what stands before the bar.
        shown: whether to draw it.
    """
    yield from track(items, label, disable=not shown, transient=True)


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """A bar over a known number of steps, with a note beside it; it stays when it is done.

    Args:
        label: what stands before the bar.
        total: number of steps.
        shown: whether to draw it.
    """

    def __init__(self, label: str, total: int, *, shown: bool = True) -> None:
        columns = (label, BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
        self._progress = Progress(*columns, disable=not shown)
        self._task = self._progress.add_task(label, total=total, note="")

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, completed: int, note: str = "") -> None:
        """Show how many steps are done, and a note."""
        self._progress.update(self._task, completed=completed, note=note)
