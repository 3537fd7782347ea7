"""The errors Striate raises on purpose. Their text names what was wrong and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StriateError(Exception):
    """Base of all errors raised on purpose. The command line exits with `exit_code`."""

    exit_code = 1


class InputError(StriateError, ValueError):
    """Something the user gave (file, config, name, array) cannot be used as it is."""

    exit_code = 2


class LeakError(InputError):
    """A score would use a stimulus that the scored model has already seen."""


class DivergedError(StriateError):
    """Training produced a loss that is not finite; the last good checkpoint is named."""


def nearest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return up to `n` of the `known` names that look most like `name`, best first."""
    known = [str(k) for k in known]
    folded = {k.casefold(): k for k in known}
    hits = difflib.get_close_matches(name.casefold(), list(folded), n=n, cutoff=0.5)
    return [folded[h] for h in hits]


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> InputError:
    """Build the error for a name that is not among the `known` ones, nearest names offered.

    >>> str(unknown_name("ROI", "V1vv", ["V1v", "V1d", "hV4"]))
    "unknown ROI 'V1vv'. Did you mean V1v, V1d? Known: V1v, V1d, hV4."
    """
    name, known = str(name), [str(k) for k in known]
    close = nearest(name, known)
    text = f"unknown {kind} {name!r}."
    if close:
        text += f" Did you mean {', '.join(close)}?"
    shown = ", ".join(known[:40]) + (f", … ({len(known)} in all)" if len(known) > 40 else "")
    text += f" Known: {shown or 'none'}."
    return InputError(f"{text} {hint}".rstrip())
