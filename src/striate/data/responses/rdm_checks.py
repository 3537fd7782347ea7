"""Checks of dissimilarity matrices (RDMs), whose errors say how to correct a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.errors import InputError

ROUNDING = 1e-5
"""Largest difference between mirrored entries, and of the diagonal from 0, as a share of the
largest entry: files of RDMs are often in single precision."""
ENOUGH_TO_JUDGE = 8
"""Number of stimuli from which noise no longer makes all cross-validated distances negative (in
fewer than 1 of 300 cases, by simulation)."""


def check_rdms(rdms: Any, what: str = "RDM", *, negative: bool = True) -> np.ndarray:
    """Refuse an array that is no RDM; the error says what would make it one.

    An RDM is square, symmetric and 0 on its diagonal. NaN means that a pair is not defined, and
    must be in both halves. NaN on the diagonal is ignored, as no stimulus is compared with itself.

    Args:
        rdms: (n, n) or a stack (k, n, n).
        what: name of the matrix in errors.
        negative: whether distances may be below zero, as cross-validated ones are by chance.

    Returns:
        float64 of the same shape; the two halves are averaged, as rounding may part them.

    Raises:
        InputError: a vector, one half of a matrix, a similarity, complex or infinite numbers,
            another shape, a table whose rows and columns are in different orders.
    """
    _check_labels(rdms, what)
    values = _convert_to_numbers(rdms, what)
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
    """Return an array with NaN where numpy's mask hides values; other arrays stay as they are."""
    array = np.asarray(values)
    if not np.ma.isMaskedArray(values) or array.dtype.kind not in "biuf":
        return array
    numbers = array if array.dtype.kind == "f" else array.astype(np.float64)
    return np.where(np.ma.getmaskarray(values), numbers.dtype.type(np.nan), numbers)


def _check_labels(rdms: Any, what: str) -> None:
    """Refuse a table whose rows and columns are not the same stimuli in the same order."""
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


def _convert_to_numbers(rdms: Any, what: str) -> np.ndarray:
    """Return the values as float64; InputError for anything but real numbers."""
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
    """Refuse one square matrix that is no RDM; see `check_rdms`."""
    n = len(rdm)
    if np.isinf(rdm).any():
        raise InputError(f"{what} has infinite entries. NaN says that a pair is not defined.")
    defined = np.isfinite(rdm)
    largest = np.abs(rdm[defined]).max(initial=0.0)
    below, above = np.tril_indices(n, -1), np.triu_indices(n, 1)
    _check_diagonal(rdm, what, largest)
    for name, full, empty in (("lower", below, above), ("upper", above, below)):
        filled = defined[full] & (rdm[full] != 0)
        if filled.any() and not (defined[empty] & (rdm[empty] != 0)).any():
            advice = "rdm + rdm.T" if defined.all() else "rdm = np.nan_to_num(rdm); rdm + rdm.T"
            raise InputError(f"{what} is only the {name} half of an RDM. Use {advice}.")
    one_sided = np.argwhere(defined != defined.T)
    if len(one_sided):
        raise InputError(
            f"{what}: the pair of stimuli {one_sided[0][0]} and {one_sided[0][1]} is NaN in one "
            "half and a number in the other. Set both."
        )
    asymmetry = np.where(defined, np.abs(rdm - rdm.T), 0.0)
    if asymmetry.max(initial=0.0) > ROUNDING * largest:
        i, j = (int(k) for k in np.unravel_index(int(asymmetry.argmax()), asymmetry.shape))
        raise InputError(
            f"{what} is not symmetric: stimuli {i} and {j} are {rdm[i, j]:.6g} and "
            f"{rdm[j, i]:.6g} apart. If both were measured, use (rdm + rdm.T) / 2; if rows and "
            "columns are in different orders, bring them into one."
        )
    distances = rdm[above][defined[above]]
    if not negative and (distances < -ROUNDING * largest).any():
        raise InputError(
            f"{what} has negative entries (smallest {distances.min():.6g}); only cross-validated "
            "distances may be below zero. If it holds similarities, use 1 - similarity."
        )
    if n >= ENOUGH_TO_JUDGE and distances.size and (distances < 0).all():
        raise InputError(
            f"{what}: all entries are negative, so it seems to hold similarities. Use -rdm, whose "
            "larger entries are farther apart."
        )


def _check_diagonal(rdm: np.ndarray, what: str, largest: float) -> None:
    """Refuse a matrix whose diagonal is not 0; `largest` is the largest entry."""
    diagonal = rdm.diagonal()
    diagonal = diagonal[np.isfinite(diagonal)]
    is_off = np.abs(diagonal) > ROUNDING * largest
    if not is_off.any():
        return
    i = int(np.flatnonzero(np.abs(rdm.diagonal()) > ROUNDING * largest)[0])
    message = f"{what}: stimulus {i} is {rdm[i, i]:.6g} from itself, expected 0. "
    if np.ptp(diagonal) <= ROUNDING * largest and diagonal[0] >= largest * (1 - ROUNDING):
        value = f"{diagonal[0]:.6g}"
        raise InputError(
            f"{message}It seems to hold similarities, largest on the diagonal. Use "
            f"{'1' if abs(diagonal[0] - 1) < ROUNDING else value} - similarity."
        )
    raise InputError(
        f"{message}If larger numbers mean more alike, turn them into distances, such as 1 - "
        "similarity. If the diagonal holds distances between repeats, use np.fill_diagonal(rdm, 0)."
    )
