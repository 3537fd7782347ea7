"""One spelling for each name of a stimulus, unit, ROI, hemisphere or column, whatever wrote it.

Files of one study come from several programs. One pads names with blanks, one writes `é` as a
letter and an accent, one stores bytes. If they are compared as they stand, one name becomes two.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from striate.core.errors import InputError

# Blanks of any kind, and marks that have no width: byte order mark, zero-width spaces, padding.
_EDGES = re.compile(r"^[\s\ufeff\u200b-\u200d\u2060\x00]+|[\s\ufeff\u200b-\u200d\u2060\x00]+$")
_SIDE = re.compile(
    r"(?:hemi(?:sphere)?)?[\s_.-]*(?:(l|lh|left)|r|rh|right)[\s_.-]*(?:hemi(?:sphere)?)?[\s_.-]*"
)
"""A hemisphere in any usual spelling: `L`, `left hemi`, `hemi-L` (BIDS), `Right_Hemisphere`."""


def clean_name(value: object) -> str:
    r"""Return the text of a name, without blanks around it, in Unicode's composed form (NFC).

    Case is kept. Bytes are decoded. Missing values (None, NaN) become ``, while the text `nan` is
    a name like any other.

    Raises:
        InputError: bytes that are not UTF-8.

    >>> clean_name(" V1v "), clean_name(b"lh"), clean_name("e\u0301") == "\u00e9"
    ('V1v', 'lh', True)
    >>> clean_name("NA"), clean_name(7), clean_name("007"), clean_name(float("nan"))
    ('NA', '7', '007', '')
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"name {value!r} is not UTF-8 text. Save it as text, or as bytes of UTF-8."
            ) from error
    if value is None or (isinstance(value, float) and value != value):
        return ""
    text = str(value)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return _EDGES.sub("", text)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which numbers in names count as numbers.

    >>> sorted(["im10", "im2", "im1"], key=natural_key)
    ['im1', 'im2', 'im10']
    """
    parts = [part for part in re.split(r"([0-9]+)", name) if part]
    return [(0, int(part), part) if part[0].isdigit() else (1, 0, part) for part in parts]


def clean_hemisphere(value: object) -> str:
    """Return `lh` or `rh` for any usual spelling, other names in lower case, `` for none.

    >>> [clean_hemisphere(h) for h in ("LH", "lh ", b"Left", "hemi-R", "right hemi", None, "both")]
    ['lh', 'lh', 'lh', 'rh', 'rh', '', 'both']
    """
    text = clean_name(value).casefold()
    side = _SIDE.fullmatch(text)
    return text if side is None else "lh" if side[1] else "rh"


def check_names(
    names: Sequence[str],
    kind: str,
    owner: str,
    place: Callable[[int], str],
    raw_names: Iterable[object] | None = None,
    advice: str = "",
) -> None:
    """Refuse cleaned names that are empty, or the same twice.

    Args:
        names: as `clean_name` returns them.
        kind: what they name, such as `stimulus id`.
        owner: file or subject, for the message.
        place: describes where the i-th name stands, such as `line 7`.
        raw_names: the names before they were cleaned, to show how two that became one were written.
        advice: what to do about a name that occurs twice.

    Raises:
        InputError: naming the first such name and its places.
    """
    if "" in names:
        i = list(names).index("")
        raise InputError(
            f"{owner}: the {kind} in {place(i)} is empty ({list(names).count('')} such). Give each "
            "a name, or leave it out."
        )
    if len(set(names)) == len(names):
        return
    first_index: dict[str, int] = {}
    duplicates: dict[str, tuple[int, int]] = {}
    for i, name in enumerate(names):
        if name in first_index:
            duplicates.setdefault(name, (first_index[name], i))
        first_index.setdefault(name, i)
    name, (i, j) = next(iter(duplicates.items()))
    raw_list = list(names if raw_names is None else raw_names)
    spelling_note = ""
    if name != raw_list[i] or name != raw_list[j]:
        spelling_note = (
            f", as {raw_list[i]!r} and {raw_list[j]!r}; blanks and Unicode forms do not count"
        )
    examples = ", ".join(list(duplicates)[:5])
    plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    raise InputError(
        f"{owner}: {len(duplicates)} {plural} occur more than once: {examples} ({name!r} in "
        f"{place(i)} and {place(j)}{spelling_note}). "
        f"{advice or 'Give each its own name, or leave one out.'}"
    )
