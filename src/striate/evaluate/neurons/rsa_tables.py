"""RSA of scored models: the RDMs that scoring kept, against those of the responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from striate.core.errors import InputError
from striate.core.files import read_json
from striate.data.responses.rdm_checks import check_rdms
from striate.data.splits.bundles import group_numbers
from striate.encoding import compare_rdms, fdr, noise_ceiling_rdms
from striate.encoding.resampling import resample_left_out
from striate.evaluate.neurons.resampled import BEST


def _select_stimuli(rdms: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """RDMs of some of the stimuli, (k, n, n)."""
    return rdms[:, rows][:, :, rows]


def _check_model(rdm: np.ndarray, data: np.ndarray, what: str) -> np.ndarray:
    """RDM of a model; refused where it is none, or of other stimuli than the data's."""
    if rdm.shape != data.shape[1:]:
        raise InputError(
            f"{what} has shape {rdm.shape}, the data's RDMs are {data.shape[1:]}: it was scored on "
            "other stimuli. Score the model again."
        )
    return check_rdms(rdm, what)


def rsa_tables(
    scored: Iterable[Path],
    data: np.ndarray,
    groups: Sequence[str],
    reference: str,
    methods: Sequence[str] = ("rho_a", "cosine"),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """RSA of the taps of every named readout: similarities, and the reference's less another's.

    Models without named readouts are compared at all of their taps. Intervals leave out one group
    of stimuli at a time.

    Args:
        scored: folders of models with `rdms.npz`.
        data: (S, N, N) RDMs of the sessions.
        groups: one label a stimulus (`StimulusSet.groups`).
        reference: name of the model that others are compared with.
        methods: `striate.encoding.rdm_similarity`.

    Raises:
        InputError: what is no RDM of these stimuli (file and tap named), one group of stimuli.

    Returns:
        One row a method x readout x model x tap with the noise ceiling; and one a method x readout
        x other model x tap. Means over seeds.
    """
    rdms: list[np.ndarray] = []
    places: dict[tuple[str, str, str], list[int]] = {}
    for folder in scored:
        facts = read_json(folder / "done.json")
        with np.load(folder / "rdms.npz") as file:
            named = {r: taps for r, taps in facts["readouts"].items() if r != BEST}
            for readout, taps in (named or facts["readouts"]).items():
                for tap in taps:
                    places.setdefault((readout, str(facts["model"]), tap), []).append(len(rdms))
                    rdms.append(_check_model(file[tap], data, f"{folder / 'rdms.npz'}: {tap}"))
    models = np.array(rdms)
    member = group_numbers(groups, models.shape[-1])
    if member.max() < 1:
        raise InputError(
            "RSA: all stimuli are of one group, so none can be left out for an interval. Divide "
            "them into two groups or more."
        )
    resampling = resample_left_out(member)
    rows, apart = [], []
    for method in methods:
        whole = compare_rdms(models, data, method).mean(axis=1)
        left = []
        for counts in resampling.counts:
            drawn = np.flatnonzero(counts)
            similarity = compare_rdms(
                _select_stimuli(models, drawn), _select_stimuli(data, drawn), method
            )
            left.append(similarity.mean(axis=1))
        draws = np.array(left)  # (groups, models)
        ceiling = noise_ceiling_rdms(data, method)
        for place, members in places.items():
            value = resampling.interval(float(whole[members].mean()), draws[:, members].mean(1))
            row = {"method": method, **dict(zip(("readout", "model", "tap"), place, strict=True))}
            rows.append(
                {
                    **row,
                    "similarity": value.value,
                    "low": value.low,
                    "high": value.high,
                    "seeds": len(members),
                    "seed_low": whole[members].min(),
                    "seed_high": whole[members].max(),
                    "ceiling_low": ceiling[0],
                    "ceiling_high": ceiling[1],
                }
            )
            first = next((p for p in places if p[:2] == (place[0], reference)), None)
            if first is None or place[1] == reference:
                continue
            gap = draws[:, places[first]].mean(1) - draws[:, members].mean(1)
            delta = float(whole[places[first]].mean() - whole[members].mean())
            interval, p = resampling.interval(delta, gap), resampling.p(delta, gap)
            values = {"delta": delta, "low": interval.low, "high": interval.high, "p": p}
            apart.append({**row, "reference": reference, **values})
    table = pd.DataFrame(apart)
    if len(table):
        by = table.groupby(["method", "readout"])["p"]
        table["q"] = by.transform(lambda p: fdr(p.to_numpy()))
    return pd.DataFrame(rows), table
