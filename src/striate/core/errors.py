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


def nearest(name: str, names: Iterable[str], n: int = 3) -> list[str]:
    """Return up to `n` of the `names` that look most like `name`, best first."""
    names = [str(candidate) for candidate in names]
    folded = {candidate.casefold(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.casefold(), list(folded), n=n, cutoff=0.5)
    return [folded[match] for match in matches]


def unknown_name(kind: str, name: str, names: Iterable[str], hint: str = "") -> InputError:
    """Build the error for a name that is not among `names`; the nearest names are offered.

    >>> str(unknown_name("ROI", "V1vv", ["V1v", "V1d", "hV4"]))
    "unknown ROI 'V1vv'. Did you mean V1v, V1d? Known: V1v, V1d, hV4."
    """
    name, names = str(name), [str(candidate) for candidate in names]
    suggestions = nearest(name, names)
    text = f"unknown {kind} {name!r}."
    if suggestions:
        text += f" Did you mean {', '.join(suggestions)}?"
    listed = ", ".join(names[:40]) + (f", … ({len(names)} in all)" if len(names) > 40 else "")
    text += f" Known: {listed or 'none'}."
    return InputError(f"{text} {hint}".rstrip())
