"""What a comparison consists of: each model to make, and whose responses it is scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from striate.core.errors import InputError
from striate.data import Target
from striate.evaluate.config import CompareConfig, Method

NEW_IMAGES = "new images"
NEW_SUBJECTS = "new subjects"
"""A subject never used for tuning: other units, and images that no tuning saw."""


@dataclass(frozen=True)
class Job:
    """One model of a comparison.

    Attributes:
        method: which of the methods made it.
        name: its folder below `models`, such as `contrastive/subj01_lh_V1v`.
        tuned_to: the targets it is tuned to; none for the controls.
        scored: the targets it is scored on, by subject.
    """

    method: Method
    name: str
    tuned_to: tuple[Target, ...]
    scored: Mapping[str, tuple[Target, ...]]

    @property
    def pooled(self) -> bool:
        """Whether it is tuned to several subjects."""
        return self.method.startswith("pooled")


def make_jobs(config: CompareConfig, targets: Mapping[str, Sequence[Target]]) -> list[Job]:
    """List the models of a comparison, the untuned one first.

    Controls are scored on every subject; a model tuned to one target on that target; a model
    pooled over subjects on its ROI in every subject, also those held out.

    Args:
        config: the methods and the held-out subjects.
        targets: the (hemisphere, ROI) groups of units by subject.

    Raises:
        InputError: a tuned method and nobody to tune to.
    """
    tuned = {s: t for s, t in targets.items() if s not in config.split.held_out}
    everything = {s: tuple(t) for s, t in targets.items()}
    jobs = [Job(m, m, (), everything) for m in ("untuned", "random") if m in config.methods]
    wanted = [m for m in config.methods if m not in ("untuned", "random")]
    if wanted and not tuned:
        raise InputError(
            f"every subject is held out ({', '.join(targets)}), so {wanted[0]} has nobody to be "
            "tuned to. Shorten split.held_out."
        )
    for method in wanted:
        if method.startswith("pooled"):
            jobs += _pooled(method, tuned, everything)
        else:
            jobs += [
                Job(method, f"{method}/{t.name}", (t,), {subject: (t,)})
                for subject, own in tuned.items()
                for t in own
            ]
    return jobs


def _pooled(
    method: Method,
    tuned: Mapping[str, Sequence[Target]],
    everything: Mapping[str, Sequence[Target]],
) -> list[Job]:
    places = dict.fromkeys((t.hemisphere, t.roi) for own in tuned.values() for t in own)
    jobs = []
    for hemisphere, roi in places:

        def here(
            groups: Mapping[str, Sequence[Target]], place: tuple[str, str] = (hemisphere, roi)
        ) -> dict[str, tuple[Target, ...]]:
            own = {s: [t for t in g if (t.hemisphere, t.roi) == place] for s, g in groups.items()}
            return {s: tuple(t) for s, t in own.items() if t}

        members = tuple(t for group in here(tuned).values() for t in group)
        name = "_".join(p for p in (hemisphere, roi) if p).replace("/", "-").replace(" ", "-")
        jobs.append(Job(method, f"{method}/{name}", members, here(everything)))
    return jobs
