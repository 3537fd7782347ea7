"""PLS of all units together: `striate.encoding.PLSRegression` beside scikit-learn's.

25 components without scaling, as Brain-Score fits them; 300 stimuli. Both libraries take turns in
one process, and the best time of each counts, as other work on a machine can only add. Predictions
of 50 further stimuli are compared, relative to the largest. Prints JSON rows.

    python benchmarks/pls.py [--sizes 5000x100 5000x1000 50000x100 50000x1000] [--repeats 2]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

N, HELD_OUT, COMPONENTS = 300, 50, 25
FASTER = 3.0
"""How many times faster than scikit-learn we want to be."""
SAME = 1e-6
"""How near predictions must be."""


def simulate(p: int, n_units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that share 200 latent factors, as activations do, units that mix these, and noise.

    Returns features and responses to fit, and features to predict from.
    """
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((N + HELD_OUT, 200)) * (10.0 / np.sqrt(1 + np.arange(200)))
    X = latent @ rng.standard_normal((200, p)) + rng.standard_normal((N + HELD_OUT, p))
    np.maximum(X, 0, out=X)  # a rectifier, as in most networks
    signal = latent @ rng.standard_normal((200, n_units))
    noise = rng.standard_normal(signal.shape)
    Y = signal / signal.std(0) + np.geomspace(0.3, 3.0, n_units) * noise
    return X[:N], Y[:N], X[N:]


def timed(model: Any, X: np.ndarray, Y: np.ndarray) -> float:
    started = time.perf_counter()
    model.fit(X, Y)
    return time.perf_counter() - started


def measure(p: int, n_units: int, repeats: int) -> dict[str, Any]:
    from sklearn.cross_decomposition import PLSRegression as Reference

    from striate.encoding import PLSRegression

    X, Y, new = simulate(p, n_units)
    models = {
        "striate": PLSRegression(COMPONENTS),
        "exact": PLSRegression(COMPONENTS, algorithm="svd"),
        "sklearn": Reference(COMPONENTS, scale=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            seconds[name].append(timed(model, X, Y))
    predicted = {name: model.predict(new) for name, model in models.items()}
    scale = np.abs(predicted["sklearn"]).max()
    differ = {
        name: float(np.abs(predicted[name] - predicted["sklearn"]).max() / scale)
        for name in ("striate", "exact")
    }
    best = {name: min(times) for name, times in seconds.items()}
    faster = best["sklearn"] / best["striate"]
    return {
        "benchmark": "pls",
        "what": f"{n_units:,} units, n {N}, p {p:,}, {COMPONENTS} components",
        "target": FASTER,
        "measured": round(faster, 2),
        "unit": "times scikit-learn's speed",
        "reached": faster >= FASTER and differ["striate"] <= SAME,
        "detail": f"{best['striate']:.2f} s (scikit-learn {best['sklearn']:.2f} s, exact "
        f"{best['exact']:.2f} s), predictions differ by {differ['striate']:.1e} (exact: "
        f"{differ['exact']:.1e})",
        "seconds": {name: [round(s, 3) for s in times] for name, times in seconds.items()},
        "predictions_differ_by": differ,
    }


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = ["5000x100", "5000x1000", "50000x100", "50000x1000"]
    parser.add_argument("--sizes", nargs="+", default=sizes, help="features x units")
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    return [
        measure(*(int(number) for number in size.split("x")), args.repeats) for size in args.sizes
    ]


if __name__ == "__main__":
    import sys

    print(json.dumps(main(sys.argv[1:]), indent=1))
