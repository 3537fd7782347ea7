"""Subjects that are one recording: whole folders, or units among others, that were copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from striate.data.responses.responses import Responses

LOOKED_AT = 20
"""Shared pictures whose responses are compared (ours)."""
FEWEST_VALUES = 5
"""Different responses that a unit must have to them: two units may be silent alike (ours)."""


def find_twins(subjects: Mapping[str, tuple[Sequence[str], Responses]]) -> list[str]:
    """Name the pairs of subjects that hold the same responses of the same units.

    They would count as two subjects in every test over subjects, and one of them as a subject that
    a model has not seen.

    Args:
        subjects: by name, the content hash of each stimulus and the responses in their order. A
            picture that a subject has several times is not compared.
    """
    known = {}
    for name, (digests, responses) in subjects.items():
        times = Counter(digests)
        known[name] = {d: i for i, d in enumerate(digests) if times[d] == 1}, responses
    lines = []
    for (a, (own, first)), (b, (theirs, second)) in combinations(known.items(), 2):
        shared = sorted(own.keys() & theirs.keys())[:LOOKED_AT]
        columns = [
            _columns(responses, [rows[digest] for digest in shared])
            for rows, responses in ((own, first), (theirs, second))
        ]
        same = len(columns[0] & columns[1])
        if same:
            lines.append(
                f"{a} and {b} hold the same responses of {same} of {first.data.sizes['unit']} and "
                f"{second.data.sizes['unit']} units ({len(shared)} pictures compared). They count "
                "as two subjects: leave one of them out."
            )
    return lines


def _columns(responses: Responses, rows: Sequence[int]) -> set[bytes]:
    """The responses of each unit to some stimuli, of units that tell the stimuli apart."""
    if len(rows) < FEWEST_VALUES:
        return set()
    order = np.argsort(rows)  # ascending, as a file on disk is read fastest
    values = np.empty((len(rows), responses.data.sizes["unit"]), np.float32)
    values[order] = Responses(responses.data.isel(stimulus=np.asarray(rows)[order])).mean()
    return {
        unit.tobytes()
        for unit in np.ascontiguousarray(values.T)
        if np.isfinite(unit).all() and len(np.unique(unit)) >= FEWEST_VALUES
    }
