"""What is a dissimilarity matrix (RDM), and what to do with what is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.errors import InputError

ROUNDING = 1e-5
"""Share of the largest entry by which mirrored entries and the diagonal may differ from what they
are to be: files of RDMs are often in single precision."""
ENOUGH_TO_JUDGE = 8
"""Stimuli from which on no noise makes all cross-validated distances negative (less than 1 in 300,
by simulation)."""


def check_rdms(rdms: Any, what: str = "RDM", *, negative: bool = True) -> np.ndarray:
    """Refuse what is no RDM, and say what would make it one.

    An RDM is square, symmetric and 0 on its diagonal. NaN says that a pair is not defined, and is
    in both halves; on the diagonal it says nothing, as no stimulus is compared with itself.

    Args:
        rdms: (n, n) or a stack (k, n, n).
        what: its name in errors.
        negative: whether distances may be below zero, as cross-validated ones are by chance.

    Returns:
        float64, of the same shape; the halves are averaged where rounding had parted them.

    Raises:
        InputError: a vector, one half of a matrix, a similarity, complex or infinite numbers,
            another shape, a table whose rows and columns are in different orders.
    """
    _check_labels(rdms, what)
    values = _as_numbers(rdms, what)
    if values.ndim == 1 and (1 + np.sqrt(1 + 8 * values.size)) / 2 % 1 == 0 and values.size > 1:
        raise InputError(
            f"{what} is a vector of {values.size} numbers; an RDM is a square matrix. If it holds "
            "the pairs row by row, use scipy.spatial.distance.squareform(vector)."
        )
    if values.ndim not in (2, 3) or values.shape[-1] != values.shape[-2] or values.shape[-1] < 2:
        raise InputError(
            f"RDMs must be (..., n, n), one matrix or a stack of them: {what}, "
            f"found shape {values.shape}."
        )
    stack = values.reshape(-1, *values.shape[-2:])
    for number, rdm in enumerate(stack):
        _check_matrix(rdm, f"{what}, number {number}" if values.ndim == 3 else what, negative)
    return np.asarray((values + np.swapaxes(values, -1, -2)) / 2)


def unmask(values: Any) -> np.ndarray:
    """An array in which what numpy's mask hides is NaN; other arrays as they are."""
    array = np.asarray(values)
    if not np.ma.isMaskedArray(values) or array.dtype.kind not in "biuf":
        return array
    kept = array if array.dtype.kind == "f" else array.astype(np.float64)
    return np.where(np.ma.getmaskarray(values), kept.dtype.type(np.nan), kept)


def _check_labels(rdms: Any, what: str) -> None:
    """A table names its rows and columns: they must be the same stimuli in one order."""
    rows, columns = getattr(rdms, "index", None), getattr(rdms, "columns", None)
    if rows is None or columns is None or list(rows) == list(columns):
        return
    if set(rows) == set(columns):
        raise InputError(
            f"{what}: rows and columns name the same stimuli in different orders. Use "
            "table.loc[table.columns]."
        )
    if list(rows) != list(range(len(rows))):
        raise InputError(f"{what}: rows and columns name different stimuli.")


def _as_numbers(rdms: Any, what: str) -> np.ndarray:
    try:
        values = unmask(rdms)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"numbers of type {values.dtype}")
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what} is no array of real numbers ({error}). Several RDMs must be of the same "
            "stimuli: (k, n, n)."
        ) from error


def _check_matrix(rdm: np.ndarray, what: str, negative: bool) -> None:
    n = len(rdm)
    if np.isinf(rdm).any():
        raise InputError(f"{what} has infinite entries. NaN says that a pair is not defined.")
    known = np.isfinite(rdm)
    size = np.abs(rdm[known]).max(initial=0.0)
    below, above = np.tril_indices(n, -1), np.triu_indices(n, 1)
    _check_diagonal(rdm, what, size)
    for name, full, empty in (("lower", below, above), ("upper", above, below)):
        filled = known[full] & (rdm[full] != 0)
        if filled.any() and not (known[empty] & (rdm[empty] != 0)).any():
            mend = "rdm + rdm.T" if known.all() else "rdm = np.nan_to_num(rdm); rdm + rdm.T"
            raise InputError(f"{what} is only the {name} half of an RDM. Use {mend}.")
    torn = np.argwhere(known != known.T)
    if len(torn):
        raise InputError(
            f"{what}: the pair of stimuli {torn[0][0]} and {torn[0][1]} is NaN in one half and a "
            "number in the other. Set both."
        )
    gap = np.where(known, np.abs(rdm - rdm.T), 0.0)
    if gap.max(initial=0.0) > ROUNDING * size:
        i, j = (int(k) for k in np.unravel_index(int(gap.argmax()), gap.shape))
        raise InputError(
            f"{what} is not symmetric: stimuli {i} and {j} are {rdm[i, j]:.6g} and "
            f"{rdm[j, i]:.6g} apart. If both were measured, use (rdm + rdm.T) / 2; if rows and "
            "columns are in different orders, bring them into one."
        )
    apart = rdm[above][known[above]]
    if not negative and (apart < -ROUNDING * size).any():
        raise InputError(
            f"{what} has negative entries (smallest {apart.min():.6g}); only cross-validated "
            "distances may be below zero. If it holds similarities, use 1 - similarity."
        )
    if n >= ENOUGH_TO_JUDGE and apart.size and (apart < 0).all():
        raise InputError(
            f"{what}: all entries are negative, so it seems to hold similarities. Use -rdm, whose "
            "larger entries are farther apart."
        )


def _check_diagonal(rdm: np.ndarray, what: str, size: float) -> None:
    own = rdm.diagonal()
    own = own[np.isfinite(own)]
    off = np.abs(own) > ROUNDING * size
    if not off.any():
        return
    i = int(np.flatnonzero(np.abs(rdm.diagonal()) > ROUNDING * size)[0])
    said = f"{what}: stimulus {i} is {rdm[i, i]:.6g} from itself, expected 0. "
    if np.ptp(own) <= ROUNDING * size and own[0] >= size * (1 - ROUNDING):
        whole = f"{own[0]:.6g}"
        raise InputError(
            f"{said}It seems to hold similarities, largest on the diagonal. Use "
            f"{'1' if abs(own[0] - 1) < ROUNDING else whole} - similarity."
        )
    raise InputError(
        f"{said}If larger numbers mean more alike, turn them into distances, such as 1 - "
        "similarity. If the diagonal holds distances between repeats, use np.fill_diagonal(rdm, 0)."
    )
