"""How tap and alpha are chosen and where a score comes from: three protocols.

A protocol decides what is fitted and tested (rounds) and by which rule tap and penalties are
chosen; everything else is `striate.encoding.readout`.

`nested` is ours: choice on `select`, one score on `test`. `paper_a` and `paper_b` repeat the two
protocols of Mulrooney & Brockmeier 2024 (docs/papers/contrastive-tuning.md 3.2, 3.3), with their
leaks, which `caveats` spell out. Its 85 % are our parts tune + fit + select, its 15 % our test.

In the paper the PCA is fitted anew for each set of training images; here features arrive
projected, by a PCA that never saw `test`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.encoding.config import EncodeConfig
from striate.encoding.encodings import Choice
from striate.encoding.folds import Fold, make_folds, mean_over_folds
from striate.encoding.readout import Chosen, Job, Readout, best_tap, choose
from striate.encoding.ridge import edge_text
from striate.encoding.rounds import Round, labels_of, split_rounds

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


Parts = Mapping[str, np.ndarray]
"""Positions of stimuli by part."""
Labels = Sequence[str] | None
"""The group of every stimulus (`encode`)."""
Given = Mapping[str, Choice] | None
"""Settings that are taken instead of chosen, by ROI; for `paper_a` alone."""


@dataclass(frozen=True)
class ProtocolPlan:
    """What a protocol decides.

    Attributes:
        rounds: what is fitted and tested.
        chosen: tap and penalties by ROI, for all rounds.
        caveats: what a reader must know about these scores.
    """

    rounds: list[Round]
    chosen: dict[str, Chosen]
    caveats: tuple[str, ...]


def nested(
    job: Job, parts: Parts, config: EncodeConfig, groups: Labels = None, given: Given = None
) -> ProtocolPlan:
    """Choose by folds of `select`, score once on `test`.

    Each fold fits on `readout_parts` and the other folds of `select`. The mean r over folds
    chooses an alpha for each unit; the mean over units of that r chooses a tap for each ROI. Then
    the readout is fitted on `readout_parts` and `select` and scored on `test`.
    """
    rounds = split_rounds(parts, config.folds, config.seed, groups, config.readout_parts)
    chosen = choose(job, rounds[0].train, rounds[0].folds)
    tuned = (TUNE_CAVEAT,) if "tune" in config.readout_parts else ()
    return ProtocolPlan(rounds, chosen, (*tuned, *_describe_edges(job, chosen)))


def paper_a(
    job: Job, parts: Parts, config: EncodeConfig, groups: Labels = None, given: Given = None
) -> ProtocolPlan:
    """Repeat docs/papers/contrastive-tuning.md 3.2: fit on tune + fit + select, score on test.

    Without `given` (for the untuned network) tap and one alpha for each ROI come from folds
    within tune + fit + select: the tap with the highest mean over folds of the ROI-mean r at the
    fold's best alpha, and the alpha most often best. Of equally frequent alphas the smallest wins
    (ours). With `given` those settings are used and nothing is selected.

    Raises:
        InputError: `given` lacks a ROI, or names a tap that has no features.
    """
    train = np.sort(np.concatenate([parts[part] for part in ("tune", "fit", "select")]))
    if given is None:
        folds = make_folds(len(train), config.folds, config.seed, labels_of(groups, train))
        chosen = _choose_by_counting(job, train, folds)
    else:
        chosen = {}
        for roi in job.readouts:
            choice = _check_given(given, roi.name, job.features)
            chosen[roi.name] = _spread_alpha(job, roi, choice, {choice.tap: float("nan")})
    return ProtocolPlan([Round(train, parts["test"], ())], chosen, PAPER_A_CAVEATS)


def _check_given(given: Mapping[str, Choice], roi: str, taps: Mapping[str, np.ndarray]) -> Choice:
    if roi not in given:
        raise unknown_name("ROI", roi, given, "The chosen settings do not have it.")
    if given[roi].tap not in taps:
        raise unknown_name("tap", given[roi].tap, taps, f"It was chosen for ROI {roi}.")
    if not np.isfinite(given[roi].alpha):
        raise InputError(
            f"ROI {roi}: the chosen settings have no single alpha. Take them from an encoding of "
            "the untuned network with protocol paper_a."
        )
    return given[roi]


def _choose_by_counting(job: Job, train: np.ndarray, folds: Sequence[Fold]) -> dict[str, Chosen]:
    """Choose one alpha a ROI by how many folds it is best in, and the tap (`paper_a`)."""
    means: dict[str, dict[str, np.ndarray]] = {roi.name: {} for roi in job.readouts}
    for tap in job.features:
        scores = job.score_folds(tap, train, folds)
        for roi in job.readouts:
            # (n_folds, n_alphas): the ROI mean; 0 where no unit is defined
            by_unit = np.moveaxis(scores[:, :, roi.units], 2, 0)
            means[roi.name][tap] = np.nan_to_num(mean_over_folds(by_unit))
    chosen = {}
    for roi in job.readouts:
        accuracy = {tap: float(m.max(axis=1).mean()) for tap, m in means[roi.name].items()}
        tap = best_tap(accuracy)
        votes = np.bincount(means[roi.name][tap].argmax(axis=1), minlength=len(job.alphas))
        alpha = float(job.alphas[int(votes.argmax())])
        chosen[roi.name] = _spread_alpha(job, roi, Choice(tap, alpha), accuracy)
    return chosen


def _spread_alpha(job: Job, roi: Readout, choice: Choice, scores: Mapping[str, float]) -> Chosen:
    """Give all usable units of a ROI the one alpha of a choice."""
    penalties = np.where(job.usable[roi.units], choice.alpha, np.nan)
    return Chosen(choice.tap, penalties, scores)


def paper_b(
    job: Job, parts: Parts, config: EncodeConfig, groups: Labels = None, given: Given = None
) -> ProtocolPlan:
    """Repeat docs/papers/contrastive-tuning.md 3.3: everything by folds within test.

    `test` is shuffled and cut into consecutive folds of floor(n / folds) stimuli; what remains is
    never validated, only fitted on. For each tap and alpha r is averaged over folds; each unit
    takes its best alpha, each ROI the tap with the highest mean. Those same means are reported:
    each fold is a round, and their scores are averaged. Predictions are those of each fold's
    readout for the stimuli it held out.
    """
    order = np.random.default_rng(config.seed).permutation(parts["test"])
    size = len(order) // config.folds
    if size < 2:
        raise InputError(
            f"paper_b: {len(order)} test stimuli in {config.folds} folds; each fold needs 2."
        )
    every = np.arange(len(order))
    held = [every[i * size : (i + 1) * size] for i in range(config.folds)]
    folds = [(np.setdiff1d(every, h), h) for h in held]
    chosen = choose(job, order, folds)
    rounds = [Round(order[train], order[test], ()) for train, test in folds]
    return ProtocolPlan(rounds, chosen, (*PAPER_B_CAVEATS, *_describe_edges(job, chosen)))


def _describe_edges(job: Job, chosen: Mapping[str, Chosen]) -> list[str]:
    """Say if many chosen penalties lie at the edge of the grid."""
    text = edge_text(np.concatenate([roi.penalties for roi in chosen.values()]), job.alphas)
    return [text] if text else []


PROTOCOLS: dict[str, Callable[..., ProtocolPlan]] = {
    "nested": nested,
    "paper_a": paper_a,
    "paper_b": paper_b,
}
