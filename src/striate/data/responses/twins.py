"""Find subjects that share a recording: copies of whole folders, or of units among others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from striate.data.responses.responses import Responses

MOST_PICTURES = 20
"""Most shared pictures whose responses are compared (ours)."""
FEWEST_VALUES = 5
"""Fewest different responses of a unit that is compared, as silent units are all alike (ours)."""


def find_twins(subjects: Mapping[str, tuple[Sequence[str], Responses]]) -> list[str]:
    """Name the pairs of subjects that hold the same responses of the same units.

    Such a pair would count as two subjects in every test over subjects, and one of the two as a
    subject that a model has not seen.

    Args:
        subjects: by name, the content hash of each stimulus and the responses in the same order.
            A picture that a subject has several times is not compared.
    """
    single_rows: dict[str, dict[str, int]] = {}  # by subject and picture
    for name, (digests, _) in subjects.items():
        copies = Counter(digests)
        single_rows[name] = {d: row for row, d in enumerate(digests) if copies[d] == 1}
    lines = []
    for pair in combinations(subjects, 2):
        shared = sorted(single_rows[pair[0]].keys() & single_rows[pair[1]].keys())[:MOST_PICTURES]
        columns, n_units = [], []
        for name in pair:
            responses = subjects[name][1]
            n_units.append(responses.data.sizes["unit"])
            rows = [single_rows[name][digest] for digest in shared]
            columns.append(_collect_columns(responses, rows))
        same = len(columns[0] & columns[1])
        if same:
            lines.append(
                f"{pair[0]} and {pair[1]} hold the same responses of {same} of {n_units[0]} and "
                f"{n_units[1]} units ({len(shared)} pictures compared). They count as two "
                "subjects: leave one of them out."
            )
    return lines


def _collect_columns(responses: Responses, rows: Sequence[int]) -> set[bytes]:
    """Collect the responses of each unit that tells some stimuli apart, as bytes."""
    if len(rows) < FEWEST_VALUES:
        return set()
    order = np.argsort(rows)  # files on disk are read fastest in ascending order
    values = np.empty((len(rows), responses.data.sizes["unit"]), np.float32)
    values[order] = Responses(responses.data.isel(stimulus=np.asarray(rows)[order])).mean()
    return {
        unit.tobytes()
        for unit in np.ascontiguousarray(values.T)
        if np.isfinite(unit).all() and len(np.unique(unit)) >= FEWEST_VALUES
    }
