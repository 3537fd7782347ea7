"""The tables of a run, from kept encodings: units, ROIs, groups of subjects, taps, nulls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from striate.data import Recording, Target
from striate.data.responses.noise_ceilings import Ceilings, scored_ceilings, sources
from striate.encoding import (
    Encoding,
    Interval,
    Resampling,
    RoiEncoding,
    explained_variance,
    fdr,
    make_resampling,
    mean_interval,
    mean_r,
    pooled_share,
    resample_models,
    score_columns,
    share_improved,
    share_interval,
    sign_flip_p,
)
from striate.encoding.inference import share_over_subjects
from striate.encoding.null import null_row
from striate.evaluate.tuned.measure import roi_key

BASELINE = "untuned"
UNIT_KEYS = ["generalization", "subject", "hemisphere", "roi", "unit_id"]
ROI_KEYS = ["generalization", "subject", "hemisphere", "roi", "model"]


@dataclass(frozen=True)
class ScoredTarget:
    """One target scored with one model.

    Attributes:
        method: the model's name in the tables.
        generalization: to what it generalizes, such as `new images`.
        target: whose units.
        folder: of the kept `Encoding`.
    """

    method: str
    generalization: str
    target: Target
    folder: Path

    @property
    def place(self) -> dict[str, str]:
        """What names it in tables (`ROI_KEYS`)."""
        target = self.target
        values = (self.generalization, target.subject, target.hemisphere, target.roi, self.method)
        return dict(zip(ROI_KEYS, values, strict=True))

    @property
    def roi(self) -> RoiEncoding:
        """The scores."""
        return _load(self.folder).rois[roi_key(self.target)]

    @property
    def stimuli(self) -> np.ndarray:
        """Positions of the test stimuli among the stimuli that were read (`Encoding.stimuli`)."""
        return _load(self.folder).stimuli

    @property
    def groups(self) -> tuple[str, ...] | None:
        """One label a test stimulus (`Encoding.groups`)."""
        return _load(self.folder).groups


class Place(NamedTuple):
    """Whose responses a score is of, and what it generalizes to."""

    generalization: str
    subject: str
    hemisphere: str
    roi: str


@lru_cache(maxsize=4)
def _load(folder: Path) -> Encoding:
    """Load an encoding; of a whole subject it can be large, and each ROI asks for it."""
    return Encoding.load(folder)


def unit_table(
    scored: Iterable[ScoredTarget],
    recordings: Mapping[str, Recording],
    parts: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """One row a unit x model: the columns of `scores.parquet`.

    `ceiling` and `reliability` are of the stimuli that were scored
    (`data.responses.noise_ceilings`), and `ceiling_source` says where they are from; `r_normalized`
    is r over the ceiling, NaN where that is unknown or low.

    Args:
        scored: what was scored.
        recordings: of all subjects.
        parts: positions of the stimuli that were given to `encode`, by subject.
    """
    tables = []
    ceilings_of: dict[tuple[str, bytes], Ceilings] = {}
    for score in scored:
        responses = recordings[score.target.subject].responses
        units, roi = score.target.units, score.roi
        rows = parts[score.target.subject][_load(score.folder).stimuli]
        place = (score.target.name, rows.tobytes())
        if place not in ceilings_of:  # the same for every model
            ceilings_of[place] = scored_ceilings(responses, rows, units)
        limits = ceilings_of[place]
        columns: dict[str, Any] = {
            "generalization": score.generalization,
            "subject": score.target.subject,
            "session": responses.data.coords["session"].values[units].astype(str),
            "hemisphere": score.target.hemisphere,
            "roi": score.target.roi,
            "unit_id": responses.data.coords["unit_id"].values[units].astype(str),
            "model": score.method,
            "tap": roi.tap,
            "alpha": roi.alpha,
            **score_columns(roi.r, roi.r2, limits),
            "simulated": responses.simulated,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def roi_table(
    scored: Sequence[ScoredTarget], units: pd.DataFrame, samples: int, seed: int
) -> pd.DataFrame:
    """Tabulate mean r with intervals and the gain over `untuned`, one row a subject x ROI x model.

    Intervals are 95 % over test stimuli, whose groups are resampled whole
    (`encoding.make_resampling`); all models of a ROI are resampled together, so that `delta` is
    paired. `p` is two-sided, of no gain; `q` is its FDR over the ROIs of a subject. `n_groups`
    counts movies and other groups among the `n_stimuli`, and each stimulus that stands alone.
    `share_improved` has an interval of its own (`encoding.share_interval`), over the same stimuli
    with these units. `share_explained` is `explained` over `explainable`, means over `n_reliable`
    units (`encoding.explained`): it is a share of variance, `r_normalized` of a correlation.
    """
    places: dict[Place, dict[str, ScoredTarget]] = {}
    for scored_target in scored:
        target = scored_target.target
        place = Place(scored_target.generalization, target.subject, target.hemisphere, target.roi)
        places.setdefault(place, {})[scored_target.method] = scored_target
    rows = []
    for place, by_method in places.items():
        rois = {method: scored_target.roi for method, scored_target in by_method.items()}
        base = _load(by_method[BASELINE].folder)
        n_stimuli = len(rois[BASELINE].observed)
        resampling = make_resampling(n_stimuli, base.groups, samples, seed)
        draws = _resample_rois(rois, resampling, base.protocol)
        at_place = (units[UNIT_KEYS[:4]] == list(place)).all(axis=1)
        for method, roi in rois.items():
            scored_units = units[at_place & (units["model"] == method)]
            value = resampling.interval(roi.mean_r, draws[method])
            variance = explained_variance(
                roi.r, scored_units["reliability"].to_numpy(), len(roi.observed) - 1
            )
            row: dict[str, Any] = dict(zip(ROI_KEYS, (*place, method), strict=True))
            row |= {
                "n_units": int(np.isfinite(roi.r).sum()),
                "n_stimuli": n_stimuli,
                "n_groups": resampling.n_groups,
                "tap": roi.tap,
                "r": value.value,
                "r_low": value.low,
                "r_high": value.high,
                "r_median": _compute_median(roi.r),
                "ceiling": mean_r(scored_units["ceiling"].to_numpy()),
                "ceiling_source": sources(scored_units["ceiling_source"].to_numpy()),
                "r_normalized": mean_r(scored_units["r_normalized"].to_numpy()),
                "explained": variance.explained,
                "explainable": variance.explainable,
                "share_explained": variance.share,
                "n_reliable": variance.units,
                "simulated": bool(scored_units["simulated"].any()),
            }
            gain_draws = draws[method] - draws[BASELINE]
            row |= _measure_gain(roi, rois[BASELINE], gain_draws, resampling, method)
            row |= _measure_share(roi, rois[BASELINE], base, samples, seed, method)
            rows.append(row)
    table = pd.DataFrame(rows)
    groups = ["generalization", "subject", "model"]
    table["q"] = table.groupby(groups)["p"].transform(lambda p: fdr(p.to_numpy()))
    return table


def _resample_rois(
    rois: Mapping[str, RoiEncoding], resampling: Resampling, protocol: str
) -> dict[str, np.ndarray]:
    """Compute ROI means by model in the same resamples of the stimuli.

    They are NaN for `paper_b`: its r is a mean over folds that chose the settings, which
    predictions put together again do not give.
    """
    if protocol == "paper_b":
        return {method: np.full(len(resampling.counts), np.nan) for method in rois}
    observed = next(iter(rois.values())).observed
    return resample_models(observed, {m: roi.predictions for m, roi in rois.items()}, resampling)


def _measure_gain(
    roi: RoiEncoding,
    baseline: RoiEncoding,
    draws: np.ndarray,
    resampling: Resampling,
    method: str,
) -> dict[str, float]:
    """Measure the gain over the untuned network, with its interval and p."""
    if method == BASELINE:
        return dict.fromkeys(("delta", "delta_low", "delta_high", "p"), float("nan"))
    value = mean_r(roi.r - baseline.r)
    gain = resampling.interval(value, draws)
    return {
        "delta": gain.value,
        "delta_low": gain.low,
        "delta_high": gain.high,
        "p": resampling.p(value, draws),
    }


def _measure_share(
    roi: RoiEncoding,
    baseline: RoiEncoding,
    encoding: Encoding,
    samples: int,
    seed: int,
    method: str,
) -> dict[str, float]:
    """Measure the share of units improved, with its interval where one readout predicts all."""
    nan = float("nan")
    share = Interval(nan, nan, nan)
    if method != BASELINE and encoding.protocol == "paper_b":
        share = Interval(share_improved(roi.r, baseline.r), nan, nan)
    elif method != BASELINE:
        share = share_interval(
            roi.observed, roi.predictions, baseline.predictions, encoding.groups, samples, seed
        )
    return {
        "share_improved": share.value,
        "share_improved_low": share.low,
        "share_improved_high": share.high,
    }


def _compute_median(r: np.ndarray) -> float:
    return float(np.nanmedian(r)) if np.isfinite(r).any() else float("nan")


def group_table(rois: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Tabulate mean r, mean gain, a paired test and its FDR over subjects, one row a ROI x model.

    Intervals are Student's t over subjects; `p` is from sign flips of the subjects' gains
    (`encoding.sign_flip_p`), `q` is its FDR over the ROIs of a model. With one subject there is
    neither interval nor test. The interval of `share_improved` is over subjects too
    (`encoding.inference.share_over_subjects`). `r_normalized` is the mean
    over `n_ceiling` subjects. `share_explained` pools the subjects that have a ceiling
    (`encoding.pooled_share`).
    """
    rows = []
    keys = ["generalization", "hemisphere", "roi", "model"]
    for place, group in rois.groupby(keys, sort=False):
        value, gain = (mean_interval(group[c].to_numpy()) for c in ("r", "delta"))
        improved = share_over_subjects(
            group["share_improved"].to_numpy(), group["n_units"].to_numpy()
        )
        share = pooled_share(group["explained"].to_numpy(), group["explainable"].to_numpy())
        rows.append(
            dict(zip(keys, place, strict=True))
            | {
                "n_subjects": len(group),
                "n_units": int(group["n_units"].sum()),
                "r": value.value,
                "r_low": value.low,
                "r_high": value.high,
                "r_normalized": mean_r(group["r_normalized"].to_numpy()),
                "n_ceiling": int(group["r_normalized"].notna().sum()),
                "ceiling_source": sources(group["ceiling_source"].to_numpy()),
                "share_explained": share.value,
                "share_low": share.low,
                "share_high": share.high,
                "n_reliable": int(group["n_reliable"].sum()),
                "delta": gain.value,
                "delta_low": gain.low,
                "delta_high": gain.high,
                "subjects_improved": int((group["delta"] > 0).sum()),
                "share_improved": improved.value,
                "share_improved_low": improved.low,
                "share_improved_high": improved.high,
                "p": sign_flip_p(group["delta"].to_numpy(), seed),
                "simulated": bool(group["simulated"].any()),
            }
        )
    table = pd.DataFrame(rows)
    table["q"] = table.groupby(["generalization", "model"])["p"].transform(
        lambda p: fdr(p.to_numpy())
    )
    return table


def tap_table(scored: Iterable[ScoredTarget]) -> pd.DataFrame:
    """Tabulate the scores on `select` by which taps were chosen.

    One row a subject x ROI x model x tap.
    """
    tables = []
    for scored_target in scored:
        scores = _load(scored_target.folder).tap_scores
        roi_scores = scores[scores["roi"] == roi_key(scored_target.target)].drop(columns="roi")
        labeled = roi_scores.assign(**scored_target.place)
        tables.append(labeled[[*ROI_KEYS, "tap", "score", "chosen"]])
    return pd.concat(tables, ignore_index=True)


def null_table(scored: Iterable[ScoredTarget]) -> pd.DataFrame:
    """One row a subject x ROI x model: mean r with shuffled stimuli, and the p of the real score.

    Groups of stimuli are shuffled whole. `arrangements` is in how many ways they can be; with
    fewer than 20 no p of 0.05 exists, and `p` is NaN.
    """
    rows = [
        score.place
        | null_row(score.roi.mean_r, score.roi.null_r, len(score.roi.observed), score.groups)
        for score in scored
    ]
    return pd.DataFrame(rows)


def score_dataset(units: pd.DataFrame, taps: pd.DataFrame) -> xr.Dataset:
    """Turn the unit table into a dataset: scores (model, row), tap scores (target, model, tap).

    A unit of two ROIs has a row in each. Cells that were not scored are NaN.
    """
    places = units[UNIT_KEYS].astype(str).agg("|".join, axis=1)
    rows = pd.Index(places.unique(), name="row")
    models = list(dict.fromkeys(units["model"]))
    variables: dict[str, Any] = {}
    for name in ("r", "r2", "alpha", "r_normalized"):
        wide = units.assign(row=places).pivot(index="model", columns="row", values=name)
        variables[name] = (("model", "row"), wide.loc[models, rows].to_numpy(dtype=np.float64))
    first = units.assign(row=places).drop_duplicates("row").set_index("row").loc[rows]
    coords: dict[str, Any] = {"model": models, "row": rows.to_numpy(dtype=object)}
    for name in (*UNIT_KEYS, "session"):
        coords[name] = ("row", first[name].to_numpy(dtype=object).astype(str).astype(object))
    for name in ("ceiling", "reliability"):
        coords[name] = ("row", first[name].to_numpy(dtype=np.float64))
    coords["ceiling_source"] = ("row", first["ceiling_source"].to_numpy(dtype=object))
    target = taps[UNIT_KEYS[:4]].astype(str).agg("|".join, axis=1)
    by_tap = taps.assign(target=target).set_index(["target", "model", "tap"])["score"].to_xarray()
    by_tap = by_tap.reindex(model=models, tap=list(dict.fromkeys(taps["tap"])))
    variables["tap_score"] = (("target", "model", "tap"), by_tap.to_numpy().astype(np.float64))
    coords |= {"target": by_tap["target"].to_numpy(), "tap": by_tap["tap"].to_numpy()}
    simulated = int(units["simulated"].any())
    return xr.Dataset(variables, coords, attrs={"simulated": simulated})
