"""Distributions of a property over units against a published histogram, as Brain-Score does it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.core.files import read_json
from striate.core.tables import read_table

COLUMNS = ("property", "low", "high", "count")


@dataclass(frozen=True)
class Histogram:
    """How many neurons had a property in each bin.

    Attributes:
        name: of the property in our tables.
        edges: (n_bins + 1,), rising.
        counts: (n_bins,) neurons, at least 0.
        source: where it was published, if the file says.
    """

    name: str
    edges: np.ndarray
    counts: np.ndarray
    source: str = ""

    @property
    def neurons(self) -> int:
        """How many neurons there are."""
        return int(self.counts.sum())


@dataclass(frozen=True)
class Similarity:
    """How alike two distributions are.

    Attributes:
        mean, low, high: over bootstrap samples of as many units as there are neurons, with the
            2.5th and 97.5th percentiles.
        ceiling: the same mean of samples of the neurons themselves: what a perfect model gets.
        units: of the model with that property.
        undefined: units without it, left out.
        neurons: in the histogram.
    """

    mean: float
    low: float
    high: float
    ceiling: float
    units: int
    undefined: int
    neurons: int


def ks_similarity(hist_model: np.ndarray, hist_neurons: np.ndarray) -> float:
    """1 - D / D_max of two histograms over the same bins (docs/papers/lcl-v2.md 5.3).

    D is the Kolmogorov-Smirnov distance, the largest difference of the cumulative shares; D_max is
    the largest that any model could have with these neurons, all of its units in the first or all
    in the last bin (Marques, Schrimpf & DiCarlo 2021, Brain-Score).

    Args:
        hist_model, hist_neurons: (n_bins,) counts or shares, at least 0.

    Returns:
        1 for the same shares, 0 for the worst; NaN where the model has no unit in any bin.

    Raises:
        InputError: other bins, negative counts, no neurons, or a single bin.

    >>> ks_similarity(np.array([1, 1, 2]), np.array([10, 10, 20]))
    1.0
    >>> ks_similarity(np.array([0, 0, 5]), np.array([4, 0, 0]))
    0.0
    """
    p, q = np.asarray(hist_model, dtype=float), np.asarray(hist_neurons, dtype=float)
    if p.ndim != 1 or p.shape != q.shape or len(p) < 2:
        raise InputError(
            f"histograms of shapes {p.shape} and {q.shape}: both need the same bins, at least two."
        )
    if (p < 0).any() or (q < 0).any() or not q.sum() > 0:
        raise InputError("histograms need counts of at least 0, that of the neurons some above 0.")
    if not p.sum() > 0:
        return float("nan")
    return float(_compute_similarities(p[None], q)[0])


def _compute_similarities(models: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """Compute `ks_similarity` of many histograms (n, n_bins) with one."""
    q = np.cumsum(neurons / neurons.sum())
    p = np.cumsum(models / models.sum(axis=1, keepdims=True), axis=1)
    worst = max(float(np.max(1 - q[:-1])), float(np.max(q[:-1])))
    distance = np.abs(p - q)[:, :-1].max(axis=1)  # the last is 0 but for rounding
    return np.asarray(1 - distance / worst)


def compare(
    values: np.ndarray, histogram: Histogram, samples: int = 1000, seed: int = 0
) -> Similarity:
    """Compare a property of units with that of neurons, by resampling as many units as neurons.

    Values outside of the bins count to the nearest one, as Brain-Score counts them. Units without
    the property (NaN) are left out and counted; Brain-Score draws them too, and leaves them out of
    the histogram after that.

    Args:
        values: (n_units,), numbers or true and false.
        histogram: of the neurons.
        samples, seed: of the bootstrap.

    Returns:
        The similarity; NaN where no unit has the property.
    """
    values = np.asarray(values, dtype=float)
    defined = values[np.isfinite(values)]
    counts, n = histogram.counts.astype(float), histogram.neurons
    generator = np.random.default_rng(seed)
    shares = counts / counts.sum()
    neuron_draws = generator.multinomial(n, shares, size=samples).astype(float)
    ceiling = float(_compute_similarities(neuron_draws, counts).mean())
    facts = (ceiling, len(defined), len(values) - len(defined), n)
    if not len(defined):
        nan = float("nan")
        return Similarity(nan, nan, nan, *facts)
    model_counts = binned(defined, histogram.edges)
    drawn = generator.multinomial(n, model_counts / model_counts.sum(), size=samples)
    similarities = _compute_similarities(drawn.astype(float), counts)
    low, high = np.percentile(similarities, [2.5, 97.5])
    return Similarity(float(similarities.mean()), float(low), float(high), *facts)


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Count finite values (n,) in the bins; values outside go to the first or the last."""
    values = np.asarray(values, dtype=float)
    inside = values[np.isfinite(values)].clip(edges[0], edges[-1])
    return np.histogram(inside, bins=edges)[0].astype(float)


def read_histograms(path: str | Path, known: Iterable[str] | None = None) -> dict[str, Histogram]:
    """Read published histograms from a CSV or JSON file, by property.

    CSV has the columns `property,low,high,count`, one row a bin, bins of a property rising and
    without gaps; `source` may be a fifth. JSON is `{"circular_variance": {"edges": [0, 0.5, 1],
    "counts": [12, 30], "source": "…"}}`. Properties have the names and units of our tables.

    Args:
        path: the file.
        known: names of properties; None takes any.

    Raises:
        InputError: naming the file and the property: missing or damaged file, unknown property,
            bins that do not rise or have gaps, counts that are no numbers of neurons.
    """
    path = Path(path)
    raw = _read_json(path) if path.suffix.lower() == ".json" else _read_csv(path)
    names = None if known is None else list(known)
    histograms = {}
    for name, (edges, counts, source) in raw.items():
        if names is not None and name not in names:
            raise unknown_name("property", name, names, f"It is in {path}.")
        if len(edges) != len(counts) + 1 or len(counts) < 2 or not np.all(np.diff(edges) > 0):
            raise InputError(
                f"{path}, property {name}: {len(edges)} edges for {len(counts)} counts; expected "
                "at least two bins and rising edges, one more than counts."
            )
        if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.sum() > 0):
            raise InputError(
                f"{path}, property {name}: counts must be numbers of neurons of at least 0 with "
                f"some above, found {counts.tolist()}."
            )
        if not np.array_equal(counts, np.rint(counts)):
            raise InputError(
                f"{path}, property {name}: counts must be whole numbers of neurons, found "
                f"{counts.tolist()}. Multiply shares by the number of neurons."
            )
        histograms[name] = Histogram(name, edges, counts, source)
    if not histograms:
        raise InputError(f"{path} holds no histogram.")
    return histograms


_Raw = dict[str, tuple[np.ndarray, np.ndarray, str]]


def _read_csv(path: Path) -> _Raw:
    contents = read_table(path, text=("property", "source"), only={*COLUMNS, "source"}.__contains__)
    table = contents.frame
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}; expected {', '.join(COLUMNS)}, found "
            f"{', '.join(contents.header)}."
        )
    raw: _Raw = {}
    for name, bins in table.groupby("property", sort=False):
        try:
            low, high, counts = (bins[c].to_numpy(dtype=float) for c in COLUMNS[1:])
        except ValueError as error:
            raise InputError(f"{path}, property {name}: {error}.") from error
        if not np.allclose(low[1:], high[:-1]):
            raise InputError(
                f"{path}, property {name}: bins must rise without gaps, each `low` the `high` "
                "before it."
            )
        source = str(bins["source"].iloc[0]) if "source" in bins else ""
        raw[str(name)] = (np.append(low, high[-1]), counts, source)
    return raw


def _read_json(path: Path) -> _Raw:
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a histogram for each property, by its name.")
    raw: _Raw = {}
    for name, bins in values.items():
        try:
            edges, counts = (np.asarray(bins[k], dtype=float) for k in ("edges", "counts"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}, property {name}: expected lists of numbers `edges` and `counts` "
                f"({error})."
            ) from error
        raw[str(name)] = (edges, counts, str(bins.get("source", "")))
    return raw
