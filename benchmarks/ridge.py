"""Ridge with an alpha for each unit: `striate.encoding.RidgeCV` beside himalaya's `RidgeCV`.

Features (8000, 1000), 9 alphas, 5 folds, all cores, double and single precision. Each fit runs
in a process of its own, so that the peak of memory is its own; the libraries take turns, and the
best time of each counts, as other work on a machine can only add. We choose alpha by r2, himalaya
by the squared error, which ranks alphas alike but for the weight of each fold. Prints JSON rows.

    python benchmarks/ridge.py [--units 1000 10000] [--repeats 2]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

N, P, FOLDS = 8000, 1000, 5
ALPHAS = tuple(10.0**k for k in range(-1, 8))
DTYPES = ("float64", "float32")
FASTER = {1000: 5.0, 10_000: 4.0}
"""How many times faster than himalaya we want to be, for each number of units."""
SAMPLED = 50
"""Units whose choice and weights are compared."""


def simulate(n_units: int) -> tuple[np.ndarray, np.ndarray]:
    """Features with a spectrum like that of PCA scores, and units with mixed signal and noise."""
    rng = np.random.default_rng(0)
    spread = 10.0 / np.sqrt(1 + np.arange(P))
    X = rng.standard_normal((N, P)) * spread
    Y = np.empty((N, n_units))
    for start in range(0, n_units, 500):  # in blocks, so that making them sets no peak
        stop = min(start + 500, n_units)
        signal = X @ rng.standard_normal((P, stop - start))
        noise = np.geomspace(0.3, 30.0, stop - start)
        Y[:, start:stop] = signal / signal.std(0) + noise * rng.standard_normal((N, stop - start))
    return X, Y


def folds() -> list[tuple[np.ndarray, np.ndarray]]:
    """The same five folds for both."""
    order = np.random.default_rng(1).permutation(N)
    return [(np.setdiff1d(order, held), np.sort(held)) for held in np.array_split(order, FOLDS)]


def resident() -> float:
    """Memory of this process now, in GB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e9


class Peak(threading.Thread):
    """Watches the resident memory until `stop`; also asks the system, whose peak is exact."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before, self.highest, self.done = resident(), 0.0, threading.Event()
        self.system_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run(self) -> None:
        while not self.done.wait(0.01):
            self.highest = max(self.highest, resident())

    def stop(self) -> float:
        """Return GB added."""
        self.done.set()
        self.join()
        system = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if system > self.system_before:
            self.highest = max(self.highest, system * 1024 / 1e9)
        return max(self.highest - self.before, 0.0)


def fit_striate(X: np.ndarray, Y: np.ndarray, dtype: str):
    from striate.encoding import RidgeCV

    model = RidgeCV(ALPHAS, folds(), scoring="r2", dtype=dtype)
    return lambda: model.fit(X, Y), lambda: (model.alpha_, model.coef_)


def fit_himalaya(X: np.ndarray, Y: np.ndarray):
    from himalaya.ridge import RidgeCV
    from sklearn.model_selection import PredefinedSplit

    held = np.empty(N, dtype=int)
    for i, (_, validation) in enumerate(folds()):
        held[validation] = i
    model = RidgeCV(
        ALPHAS,
        fit_intercept=True,
        cv=PredefinedSplit(held),
        solver_params={"n_targets_batch": 500},
    )
    return lambda: model.fit(X, Y), lambda: (model.best_alphas_, model.coef_)


def measure(library: str, n_units: int, queue) -> None:
    """Fit once and report seconds, memory, and the choice and weights of some units."""
    warnings.simplefilter("ignore")
    X, Y = simulate(n_units)
    name, dtype = library.split()
    if dtype == "float32":
        X, Y = X.astype(dtype), Y.astype(dtype)
    fit, result = fit_himalaya(X, Y) if name == "himalaya" else fit_striate(X, Y, dtype)
    np.linalg.eigh(np.eye(200))  # the thread pools are up before the clock starts
    peak = Peak()
    peak.start()
    started = time.perf_counter()
    fit()
    seconds = time.perf_counter() - started
    added = peak.stop()
    alpha, coef = result()
    sampled = np.linspace(0, n_units - 1, SAMPLED).astype(int)
    queue.put((seconds, added, np.asarray(alpha)[sampled], np.asarray(coef)[:, sampled]))


def run_one(library: str, n_units: int):
    """Run `measure` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measure, args=(library, n_units, queue))
    process.start()
    while True:
        try:
            out = queue.get(timeout=1)
            break
        except Empty:
            if not process.is_alive():
                raise SystemExit(f"{library} with {n_units} units failed") from None
    process.join()
    return out


def difference(ours, theirs) -> float:
    """Largest difference of weights over the largest weight, of units with the same alpha."""
    same = np.isclose(ours[2], theirs[2])  # himalaya returns exp(log(alpha))
    scale = np.abs(theirs[3][:, same]).max()
    return float(np.abs(ours[3][:, same] - theirs[3][:, same]).max() / scale)


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args(arguments)
    table = []
    for n_units in args.units:
        libraries = [f"{name} {d}" for d in DTYPES for name in ("striate", "himalaya")]
        runs = {library: [] for library in libraries}
        for _ in range(args.repeats):
            for library in libraries:
                runs[library].append(run_one(library, n_units))
        theirs = runs["himalaya float64"][-1]
        for library in libraries:
            seconds = min(r[0] for r in runs[library])
            slow = min(r[0] for r in runs[f"himalaya {library.split()[1]}"])
            last = runs[library][-1]
            faster = slow / seconds
            target = FASTER.get(n_units) if library.startswith("striate") else None
            differ = difference(last, theirs)
            table.append(
                {
                    "benchmark": "ridge",
                    "what": f"{library}, {n_units:,} units, n {N:,}, p {P:,}, "
                    f"{len(ALPHAS)} alphas, {FOLDS} folds",
                    "target": target,
                    "measured": round(faster, 2),
                    "unit": "times himalaya's speed",
                    "reached": None if target is None else faster >= target,
                    "detail": f"{seconds:.2f} s, {max(r[1] for r in runs[library]):.2f} GB added, "
                    f"weights differ by {differ:.1e}",
                    "seconds": [round(r[0], 2) for r in runs[library]],
                    "added_gb": round(max(r[1] for r in runs[library]), 3),
                    "same_alpha_as_himalaya_float64": float(
                        np.mean(np.isclose(last[2], theirs[2]))
                    ),
                    "weights_differ_by": differ,
                }
            )
    return table


if __name__ == "__main__":
    import sys

    print(json.dumps(main(sys.argv[1:]), indent=1))
