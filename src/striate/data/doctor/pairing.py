"""Are responses paired with the right pictures? A cheap readout from pixels against its null.

Rows that were shuffled against their pictures look like any other data: shapes, ids and values are
as they should be. What is lost is the relation, so that is what is looked for. Colors and oriented
edges of thumbnails predict visual neurons well enough for it (macaque V4: r .33 to .63, with the
rows shuffled -.02 to .02). Where nothing is found the pairing is not proven wrong: units may not be
visual, or too noisy. It is a hint, and is called one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist, squareform

from striate.core.names import natural_key
from striate.data.doctor.findings import Look, Notes
from striate.data.images.lookalikes import SIDE
from striate.data.responses.responses import Responses
from striate.data.splits.bundles import group_members, group_numbers

MOST_STIMULI = 400
"""Stimuli looked at (ours); the work grows with their third power."""
MOST_UNITS = 200
"""Units looked at (ours)."""
PERMUTATIONS = 99
FEWEST_ORDERS = 1000
"""Where groups allow fewer shuffled orders than this, nothing is concluded."""
FEWEST_GROUPS = 20
"""Nothing found is no warning with fewer stimuli or groups (ours): three of seven recordings of
macaque V1 with ten movies, all paired rightly, show nothing."""
PLACES = 8
"""Edges and colors are averaged over PLACES x PLACES places of a picture."""
ORIENTATIONS = 4
SMOOTHING = 3.0
"""Penalty of the readout, in mean eigenvalues of the kernel (ours; .3 to 30 serve alike)."""
ALPHA = 0.05
FAR_BETTER = 5.0
"""Standard deviations of the null by which another order must be better to be proposed, and one
half of the rows better than the other to be told apart from it."""


@dataclass(frozen=True)
class Pairing:
    """How well pixels predict responses as they are paired.

    Attributes:
        r: mean over units of the correlation of responses with left-out predictions.
        null_mean, null_sd: of the same with the responses' rows shuffled, groups kept whole.
        p: one-sided permutation p of `r` (Phipson & Smyth 2010).
        better: an order of the rows with which `r` would be far larger, in words, or ``.
        better_r: its r; NaN where there is none.
        stimuli, groups: number of stimuli that were looked at, and of those that are not kept
            together with another.
        halves: r of the first and the second half of the rows.
        lost: the half that does not follow its pictures while the other does, `first` or
            `second`, or ``: as where a row was left out in the middle of the file.
    """

    r: float
    null_mean: float
    null_sd: float
    p: float
    better: str
    better_r: float
    stimuli: int
    groups: int
    halves: tuple[float, float]
    lost: str

    @property
    def related(self) -> bool:
        """Whether responses follow the pictures more than shuffled rows do."""
        return self.p <= ALPHA


def check_pairing(
    notes: Notes, responses: Responses, looks: Mapping[str, Look], place: str
) -> None:
    """Note whether pixels predict the responses; a hint, as units need not be visual.

    Args:
        notes: takes the finding.
        responses: in the order of their file.
        looks: of each stimulus, by id (`data.doctor.findings.check_images`). Nothing is said where
            some are missing: their images were not decoded, or are broken.
        place: for the finding.
    """
    ids = responses.stimulus_ids
    if not all(name in looks for name in ids):
        return
    thumbnails = np.stack([looks[name].thumbnail for name in ids])
    pairing = pair_by_pixels(thumbnails, responses, [looks[name].group for name in ids])
    if pairing is None:
        notes.ok(
            place,
            "not looked at: too few stimuli or groups, or no unit that responds to all of them.",
        )
        return
    groups = f" in {pairing.groups} groups" if pairing.groups < pairing.stimuli else ""
    scores = (
        f"r {pairing.r:.2f} of a readout from pixels, {pairing.null_mean:.2f} with rows shuffled "
        f"(p {pairing.p:.2g}, {pairing.stimuli} stimuli{groups})"
    )
    if pairing.better:
        notes.warning(
            place,
            f"rows may belong to other pictures: {scores}, but {pairing.better_r:.2f} with the "
            f"rows taken as {pairing.better}.",
            "Compare some rows with where they come from, and write the ids in the order of the "
            "rows.",
        )
    elif pairing.lost:
        first, second = pairing.halves
        notes.warning(
            place,
            f"rows of the {pairing.lost} half may belong to other pictures: r {first:.2f} of a "
            f"readout from pixels in the first half of the rows, {second:.2f} in the second "
            f"({pairing.stimuli} stimuli{groups}).",
            "A hint, no proof: the pictures of the halves may be of another kind. Was a row left "
            "out or written twice? Compare some rows with where they come from.",
        )
    elif pairing.related:
        notes.ok(place, f"responses follow the pictures that they are paired with: {scores}.")
    elif pairing.groups < FEWEST_GROUPS:
        notes.ok(
            place,
            f"pixels do not show whether rows belong to their pictures: {scores}.",
            f"Of fewer than {FEWEST_GROUPS} stimuli or groups that says little.",
        )
    else:
        notes.warning(
            place,
            f"nothing shows that rows belong to their pictures: {scores}.",
            "A hint, no proof: units that are not visual, or noisy, look the same. Make sure that "
            "each row of responses stands beside the id of its own picture.",
        )


def pair_by_pixels(
    thumbnails: np.ndarray,
    responses: Responses,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Pairing | None:
    """Ask whether the pixels of pictures predict the responses that they are paired with.

    A kernel ridge readout (Gaussian kernel of colors and oriented edges) predicts each stimulus
    from all others, or each group from all other groups, in closed form; the null shuffles the
    responses' rows, groups of one size among themselves.

    Args:
        thumbnails: uint8 (N, SIDE, SIDE, 3), as `data.images.lookalikes.thumbnail` gives them.
        responses: N stimuli, in the order in which the rows lie in their file. Only those that are
            looked at are read; units that are not finite or never change are left out.
        groups: one label a stimulus (`StimulusSet.groups`), `` for one that stands alone.
        seed: of the sample of stimuli and units, and of the shuffles.

    Returns:
        What was found; None where it cannot be told: too few stimuli, groups or units.
    """
    generator = np.random.default_rng(seed)
    ids = responses.stimulus_ids
    labels = group_numbers(groups, len(ids))
    rows = _sample_groups(labels, generator)
    units = np.arange(responses.data.sizes["unit"])
    if units.size > MOST_UNITS:
        units = np.sort(generator.choice(units, MOST_UNITS, replace=False))
    looked_at = Responses(responses.data.isel(stimulus=rows, unit=units))
    values = np.asarray(looked_at.mean(), dtype=np.float64)
    heard = np.isfinite(values).any(axis=1)  # a run leaves the others out
    rows, values = rows[heard], values[heard]
    values = values[:, np.isfinite(values).all(axis=0)]
    values = values[:, np.ptp(values, axis=0) > 0] if values.size else values
    blocks = _sort_groups(labels[rows])
    if not values.size or _count_orders(blocks) < FEWEST_ORDERS:
        return None
    orders = _list_orders(ids)
    needed = np.unique(np.concatenate([rows, *(places[rows] for places in orders.values())]))
    seen = describe_pixels(thumbnails[needed])
    readout = _make_readout(seen[np.searchsorted(needed, rows)], labels[rows])
    r = _correlate_halves(readout @ values, values)
    null = np.empty((PERMUTATIONS, 3))
    for i in range(PERMUTATIONS):
        shuffled = values[_shuffle_groups(blocks, len(rows), generator)]
        null[i] = _correlate_halves(readout @ shuffled, shuffled)
    p = (np.sum(null >= r, axis=0) + 1) / (PERMUTATIONS + 1)
    mean, spread = float(null[:, 0].mean()), float(null[:, 0].std())
    best, best_r = "", float("nan")
    for order, places in orders.items():
        other = _make_readout(seen[np.searchsorted(needed, places[rows])], labels[places[rows]])
        other_r = _correlate_units(other @ values, values)
        if other_r > r[0] + FAR_BETTER * spread and not other_r <= best_r:
            best, best_r = order, other_r
    apart = FAR_BETTER * np.std(null[:, 1] - null[:, 2])
    worse = int(np.argmin(r[1:]))
    lost = p[1 + worse] > ALPHA and abs(r[1] - r[2]) > apart
    return Pairing(
        float(r[0]), mean, spread, float(p[0]), best, best_r, len(rows),
        sum(map(len, blocks.values())), (float(r[1]), float(r[2])),
        ("first", "second")[worse] if lost else "",
    )  # fmt: skip


def describe_pixels(thumbnails: np.ndarray) -> np.ndarray:
    """Colors and oriented edges of pictures, float64 (N, 3 + ORIENTATIONS values a place).

    Edges are the square root of the gradient's size, shared between the two nearest of
    `ORIENTATIONS` orientations. Each of the two halves has unit variance.
    """
    images = np.asarray(thumbnails, dtype=np.float64) / 255
    gray = images.mean(axis=3)
    across = np.diff(gray, axis=2, append=gray[:, :, -1:])
    down = np.diff(gray, axis=1, append=gray[:, -1:])
    size, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi
    step = np.pi / ORIENTATIONS
    edges = []
    for k in range(ORIENTATIONS):
        apart = np.abs((angle - k * step + np.pi / 2) % np.pi - np.pi / 2)
        edges.append(np.sqrt(_average_places(np.clip(1 - apart / step, 0, 1) * size)))
    halves = [np.concatenate([_average_places(images[..., c]) for c in range(3)], axis=1),
              np.concatenate(edges, axis=1)]  # fmt: skip
    return np.concatenate([half / (half.std() or 1.0) for half in halves], axis=1)


def _average_places(values: np.ndarray) -> np.ndarray:
    """Average (N, SIDE, SIDE) over places: (N, PLACES^2)."""
    block = SIDE // PLACES
    cells = values.reshape(-1, PLACES, block, PLACES, block)
    return np.asarray(cells.mean(axis=(2, 4)).reshape(len(values), -1))


def _make_readout(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The matrix (N, N) that maps responses to predictions of each group from all others.

    With the hat matrix H = K (K + penalty I)^-1 of the readout of all stimuli, the residuals of a
    group g that is left out are (I - H_gg)^-1 times those of the whole readout (the leave-one-out
    identity of ridge, for blocks).
    """
    distances = squareform(pdist(features, "sqeuclidean"))
    scale = np.median(distances[distances > 0]) if (distances > 0).any() else 1.0
    kernel = np.exp(-distances / scale)
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1, keepdims=True)
    n = len(features)
    penalty = SMOOTHING * (np.trace(kernel) / n or 1.0)
    residual = penalty * np.linalg.inv(kernel + penalty * np.eye(n)) - 1 / n
    out = np.eye(n)
    for groups in _sort_groups(labels).values():
        rows = np.array(groups)  # (number of groups, size)
        within = residual[rows[:, :, None], rows[:, None, :]]
        out[rows.ravel()] -= np.linalg.solve(within, residual[rows]).reshape(rows.size, n)
    return out


def _correlate_units(predicted: np.ndarray, observed: np.ndarray) -> float:
    a, b = predicted - predicted.mean(axis=0), observed - observed.mean(axis=0)
    size = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return float(np.divide((a * b).sum(axis=0), size, out=np.zeros(len(size)), where=size > 0)
                 .mean())  # fmt: skip


def _correlate_halves(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Mean correlation of all rows, of the first and of the second half of them, (3,)."""
    middle = len(observed) // 2
    parts = (slice(None), slice(middle), slice(middle, None))
    return np.array([_correlate_units(predicted[part], observed[part]) for part in parts])


def _sample_groups(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Positions of at most about MOST_STIMULI stimuli, ascending, groups whole."""
    if len(labels) <= MOST_STIMULI:
        return np.arange(len(labels))
    order = generator.permutation(labels.max() + 1)
    sizes = np.bincount(labels)[order]
    sampled = order[: max(2, int(np.searchsorted(np.cumsum(sizes), MOST_STIMULI, "right")))]
    return np.flatnonzero(np.isin(labels, sampled))


def _sort_groups(labels: np.ndarray) -> Mapping[int, list[np.ndarray]]:
    """Positions of each group's stimuli, by the size of the group."""
    by_size: dict[int, list[np.ndarray]] = {}
    for rows in group_members(labels):
        by_size.setdefault(len(rows), []).append(rows)
    return by_size


def _shuffle_groups(
    blocks: Mapping[int, list[np.ndarray]], n: int, generator: np.random.Generator
) -> np.ndarray:
    """Exchange groups of the same size, (n,); a group's stimuli keep their order."""
    order = np.arange(n)
    for groups in blocks.values():
        rows = np.array(groups)
        order[rows] = rows[generator.permutation(len(rows))]
    return order


def _count_orders(blocks: Mapping[int, list[np.ndarray]]) -> float:
    """Count the orders that `_shuffle_groups` can give."""
    return float(np.prod([np.arange(1.0, min(len(groups), 20) + 1).prod()
                          for groups in blocks.values()]))  # fmt: skip


def _list_orders(ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Orders in which rows often lie when their ids are wrong: the stimulus of each row, (N,)."""
    n, place = len(ids), {name: i for i, name in enumerate(ids)}
    by_number = sorted(ids, key=natural_key)
    orders = {
        "sorted by name (image1, image10, image2)": [place[s] for s in sorted(ids)],
        "sorted by number (image1, image2, image10)": [place[s] for s in by_number],
        "in reverse": range(n - 1, -1, -1),
        "one row later": np.roll(np.arange(n), 1),
        "one row earlier": np.roll(np.arange(n), -1),
    }
    arrays = {name: np.asarray(order, dtype=np.int64) for name, order in orders.items()}
    return {name: order for name, order in arrays.items() if (order != np.arange(n)).any()}
