"""How tap and alpha are chosen and where a score comes from: three protocols.

`nested` is ours: choice on `select`, one score on `test`. `paper_a` and `paper_b` repeat the two
protocols of Mulrooney & Brockmeier 2024 (docs/papers/contrastive-tuning.md 3.2, 3.3), with their
leaks, which `caveats` spell out. Its 85 % are our parts tune + fit + select, its 15 % our test.

In the paper the PCA is fitted anew for each set of training images; here features arrive
projected, by a PCA that never saw `test`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from striate.core.errors import InputError, unknown_name
from striate.encoding.job import (
    Choice,
    Job,
    Outcome,
    RoiEncoding,
    best_r,
    best_tap,
    edge_caveats,
    score_on,
    tap_table,
)
from striate.encoding.ridge import choose_alpha, folds_within, mean_over_folds

TUNE_CAVEAT = (
    "Readouts are fitted also on images that networks were tuned on (readout_parts), where their "
    "features fit too well; this works against networks that over-fitted."
)
PAPER_A_CAVEATS = (
    "Protocol paper_a: the readout is fitted also on images the network was tuned on (part "
    "`tune`), where its features fit too well; this works against networks that over-fitted.",
    "Protocol paper_a: tap and alpha are those of the untuned network for every method, chosen "
    "within tune + fit + select; this favors the untuned network.",
)
PAPER_B_CAVEATS = (
    "Protocol paper_b: tap and alpha were chosen on the same folds that are reported, so every "
    "score is too high (a maximum over alphas for each unit and over taps for each ROI). No "
    "interval over stimuli is given: it would not know of that choice.",
    "Protocol paper_b: readouts are fitted on four fifths of `test` only, far fewer images than "
    "in the other protocols. Do not compare its numbers with theirs.",
)


def nested(job: Job) -> Outcome:
    """Choose by folds of `select`, score once on `test`.

    Each fold fits on `readout_parts` and the other folds of `select`. The mean r over folds
    chooses an alpha for each unit; the mean over units of that r chooses a tap for each ROI. Then
    the readout is fitted on `readout_parts` and `select` and scored on `test`.
    """
    rows = job.rows(*job.config.readout_parts, "select")
    select = np.flatnonzero(np.isin(rows, job.parts["select"]))
    folds = folds_within(len(rows), select, job.folds(rows[select]))
    alpha, best = {}, {}
    for tap in job.features:
        scores = mean_over_folds(job.scores(tap, rows, folds))
        alpha[tap] = choose_alpha(scores, job.config.penalties)
        best[tap] = best_r(scores)
    taps = {roi: best_tap(best, units) for roi, units in job.rois.items()}
    test = job.parts["test"]
    outcome = Outcome(score_on(job, rows, test, taps, alpha), tap_table(job.rois, best, taps), test)
    if "tune" in job.config.readout_parts:
        outcome.caveats.append(TUNE_CAVEAT)
    outcome.caveats += edge_caveats(outcome, job.config.penalties)
    return outcome


def paper_a(job: Job, chosen: Mapping[str, Choice] | None = None) -> Outcome:
    """Repeat their first protocol: fit on tune + fit + select, score on test.

    Mulrooney & Brockmeier 2024; docs/papers/contrastive-tuning.md 3.2.

    Without `chosen` (for the untuned network) tap and one alpha for each ROI come from folds
    within tune + fit + select: the tap with the highest mean over folds of the ROI-mean r at the
    fold's best alpha, and the alpha most often best. Of equally frequent alphas the smallest wins
    (ours). With `chosen` those settings are used and nothing is selected.

    Raises:
        InputError: `chosen` lacks a ROI, or names a tap that has no features.
    """
    rows = job.rows("tune", "fit", "select")
    if chosen is None:
        chosen, table = _choose_paper_a(job, rows)
    else:
        chosen = {roi: _chosen(chosen, roi, job.features) for roi in job.rois}
        table = pd.DataFrame(
            [(roi, c.tap, np.nan, True) for roi, c in chosen.items()],
            columns=["roi", "tap", "score", "chosen"],
        )
    outcome = Outcome({}, table, job.parts["test"], list(PAPER_A_CAVEATS))
    n_units = job.responses.shape[1]
    for roi, choice in chosen.items():
        alpha = {choice.tap: np.full(n_units, choice.alpha)}
        one = replace(job, rois={roi: job.rois[roi]})
        outcome.rois |= score_on(one, rows, job.parts["test"], {roi: choice.tap}, alpha)
    return outcome


def _chosen(chosen: Mapping[str, Choice], roi: str, taps: Mapping[str, np.ndarray]) -> Choice:
    if roi not in chosen:
        raise unknown_name("ROI", roi, chosen, "The chosen settings do not have it.")
    if chosen[roi].tap not in taps:
        raise unknown_name("tap", chosen[roi].tap, taps, f"It was chosen for ROI {roi}.")
    if not np.isfinite(chosen[roi].alpha):
        raise InputError(
            f"ROI {roi}: the chosen settings have no single alpha. Take them from an encoding of "
            "the untuned network with protocol paper_a."
        )
    return chosen[roi]


def _choose_paper_a(job: Job, rows: np.ndarray) -> tuple[dict[str, Choice], pd.DataFrame]:
    folds = job.folds(rows)
    means: dict[str, dict[str, np.ndarray]] = {roi: {} for roi in job.rois}
    for tap in job.features:
        scores = job.scores(tap, rows, folds)
        for roi, units in job.rois.items():
            # (n_folds, n_alphas): the ROI mean; 0 where no unit is defined
            inside = np.moveaxis(scores[:, :, units], 2, 0)
            means[roi][tap] = np.nan_to_num(mean_over_folds(inside))
    chosen, table = {}, []
    for roi, by_tap in means.items():
        accuracy = {tap: float(m.max(axis=1).mean()) for tap, m in by_tap.items()}
        tap = max(accuracy, key=lambda t: accuracy[t])
        votes = np.bincount(by_tap[tap].argmax(axis=1), minlength=len(job.config.penalties))
        chosen[roi] = Choice(tap, float(job.config.penalties[int(votes.argmax())]))
        table += [(roi, t, a, t == tap) for t, a in accuracy.items()]
    return chosen, pd.DataFrame(table, columns=["roi", "tap", "score", "chosen"])


def paper_b(job: Job) -> Outcome:
    """Repeat their second protocol: everything by folds within test.

    Mulrooney & Brockmeier 2024; docs/papers/contrastive-tuning.md 3.3.

    `test` is shuffled and cut into consecutive folds of floor(n / folds) stimuli; what remains is
    never validated, only fitted on. For each tap and alpha r is averaged over folds; each unit
    takes its best alpha, each ROI the tap with the highest mean. Those same means are reported.
    Predictions are those of each fold's readout for the stimuli it held out.
    """
    order = np.random.default_rng(job.config.seed).permutation(job.parts["test"])
    size = len(order) // job.config.folds
    if size < 2:
        raise InputError(
            f"paper_b: {len(order)} test stimuli in {job.config.folds} folds; each fold needs 2."
        )
    every = np.arange(len(order))
    held = [every[i * size : (i + 1) * size] for i in range(job.config.folds)]
    folds = [(np.setdiff1d(every, h), h) for h in held]
    alpha, best = {}, {}
    for tap in job.features:
        scores = mean_over_folds(job.scores(tap, order, folds))
        alpha[tap], best[tap] = choose_alpha(scores, job.config.penalties), best_r(scores)
    taps = {roi: best_tap(best, units) for roi, units in job.rois.items()}
    by_fold = [score_on(job, order[a], order[b], taps, alpha) for a, b in folds]
    stimuli = np.concatenate([order[b] for _, b in folds])
    rois = {roi: _join_folds([f[roi] for f in by_fold], stimuli) for roi in job.rois}
    outcome = Outcome(
        rois, tap_table(job.rois, best, taps), np.sort(stimuli), list(PAPER_B_CAVEATS)
    )
    outcome.caveats += edge_caveats(outcome, job.config.penalties)
    return outcome


def _join_folds(folds: Sequence[RoiEncoding], stimuli: np.ndarray) -> RoiEncoding:
    """Join a ROI's folds: predictions in order of stimuli; scores and nulls averaged over folds."""
    order = np.argsort(stimuli)
    predicted = np.concatenate([f.predictions for f in folds])[order]
    observed = np.concatenate([f.observed for f in folds])[order]
    first = folds[0]
    return RoiEncoding(
        roi=first.roi,
        tap=first.tap,
        units=first.units,
        alpha=first.alpha,
        r=mean_over_folds(np.stack([f.r for f in folds])),
        r2=mean_over_folds(np.stack([f.r2 for f in folds])),
        predictions=predicted,
        observed=observed,
        null_r=mean_over_folds(np.stack([f.null_r for f in folds])),
    )


PROTOCOLS: dict[str, Callable[..., Outcome]] = {
    "nested": nested,
    "paper_a": paper_a,
    "paper_b": paper_b,
}
