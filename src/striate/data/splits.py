"""Split: every stimulus belongs to exactly one part, by what the image is, everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from striate.core.config import Config
from striate.core.errors import InputError, LeakError, unknown_name
from striate.core.files import atomic_path
from striate.core.hashing import hash_fraction
from striate.data.dataset import Dataset

Part = Literal["tune", "fit", "select", "test"]
PARTS: tuple[Part, ...] = ("tune", "fit", "select", "test")


class SplitConfig(Config):
    """How stimuli are divided.

    The share of each part is ours: the paper has 85 % for tuning and readout together and 15 %
    for scoring, with no part of its own for selection (papers/contrastive-tuning 3.2).
    """

    seed: int = 0
    tune: float = Field(0.60, ge=0, lt=1)
    fit: float = Field(0.15, gt=0, lt=1)
    select: float = Field(0.10, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)
    held_out: tuple[str, ...] = ()
    """Subjects never used for tuning. What only they saw is divided into fit, select and test."""


@dataclass(frozen=True)
class Split:
    """Which part each stimulus belongs to.

    Attributes:
        table: one row a subject x stimulus: `subject, stimulus_id, hash, part`; `part` is one of
            tune, fit, select, test, or `unused`. A further column `group` where stimuli have
            groups (`StimulusSet.groups`).
    """

    table: pd.DataFrame

    def part(self, subject: str, *parts: str) -> np.ndarray:
        """Positions of a subject's stimuli in the named parts, ascending, int64."""
        for part in parts:
            if part not in PARTS:
                raise unknown_name("part of a split", part, PARTS)
        rows = self.table[self.table["subject"] == subject]
        if rows.empty:
            raise unknown_name("subject", subject, self.table["subject"].unique())
        return np.flatnonzero(rows["part"].isin(parts).to_numpy())

    def hashes(self, *parts: str) -> set[str]:
        """Content hashes of all stimuli in the named parts, over all subjects."""
        return set(self.table.loc[self.table["part"].isin(parts), "hash"])

    def counts(self) -> pd.DataFrame:
        """Number of stimuli by subject (rows) and part (columns)."""
        return pd.crosstab(self.table["subject"], self.table["part"])

    def save(self, path: str | Path) -> None:
        """Write the table as parquet, atomically."""
        with atomic_path(path) as temporary:
            self.table.to_parquet(temporary, index=False)

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read what `save` wrote."""
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise InputError(f"split table {path} cannot be read: {error}") from error
        return cls.from_table(table)

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> Split:
        """Check that no image and no group is in two parts, whatever its name or subject.

        Raises:
            InputError: a column is missing, or a part unknown.
            LeakError: naming the first image that is.
        """
        for column in ("subject", "stimulus_id", "hash", "part"):
            if column not in table.columns:
                raise unknown_name("column of a split table", column, table.columns)
        for part in table["part"].unique():
            if part not in (*PARTS, "unused"):
                raise unknown_name("part of a split", str(part), (*PARTS, "unused"))
        used = table[table["part"] != "unused"]
        for column, what in (("hash", "images"), ("group", "groups of images")):
            if column not in used.columns:
                continue
            parts = used[used[column] != ""].groupby(column)["part"].nunique()
            if (parts > 1).any():
                bad = used[used[column] == parts.idxmax()].drop_duplicates(["subject", "part"])
                where = ", ".join(
                    f"{r.subject}/{r.stimulus_id} in {r.part}" for r in bad.itertuples()
                )
                raise LeakError(
                    f"{int((parts > 1).sum())} {what} are in two parts of the split: {where}."
                )
        return cls(table.reset_index(drop=True))


def make_split(dataset: Dataset, config: SplitConfig | None = None) -> Split:
    """Divide a data set's stimuli by the content hash of their images.

    The part depends on the image and the seed alone (`core.hashing.hash_fraction`), so it stays
    the same when subjects are added, and an image that two subjects saw is in one part for both.
    Sizes are therefore near the shares asked for, not exactly them. Images of one group
    (`StimulusSet.groups`) go to one part together; the part depends on the group's name.

    Raises:
        InputError: unknown held-out subject, shares that do not add up to 1, an empty part.
    """
    config = config or SplitConfig()
    shares = np.array([getattr(config, p) for p in PARTS])
    if abs(shares.sum() - 1) > 1e-9:
        raise InputError(f"split shares must add up to 1, found {shares.sum():g} ({shares}).")
    for subject in config.held_out:
        if subject not in dataset:
            raise unknown_name("held-out subject", subject, dataset)
    bundles = _bundles(dataset)
    tuned = {
        bundles[digest]
        for subject, hashes in dataset.hashes().items()
        if subject not in config.held_out
        for digest in hashes
    }
    edges = np.cumsum(shares)[:-1]
    # Stimuli that only held-out subjects saw have no `tune` part: its share goes to `fit`, so
    # that `select` and `test` have the same edges for everybody.
    held_edges = np.array([0.0, edges[1], edges[2]])
    rows = []
    for subject, recording in dataset.items():
        images = recording.stimuli
        for stimulus, digest, group in zip(images.ids, images.hashes, images.groups, strict=True):
            place = hash_fraction(config.seed, bundles[digest])
            at = edges if bundles[digest] in tuned else held_edges
            part = PARTS[int(np.searchsorted(at, place, "right"))]
            rows.append((subject, stimulus, digest, part, group))
    table = pd.DataFrame(rows, columns=["subject", "stimulus_id", "hash", "part", "group"])
    if not table["group"].any():
        table = table.drop(columns="group")
    split = Split.from_table(table)
    for subject in dataset:
        tuning = config.tune > 0 and subject not in config.held_out
        for part in PARTS if tuning else PARTS[1:]:
            if split.part(subject, part).size == 0:
                hashes = dataset[subject].stimuli.hashes
                together = len({bundles[digest] for digest in hashes})
                raise InputError(
                    f"subject {subject} has no stimulus in part {part!r} of the split "
                    f"({len(hashes)} stimuli in all, {together} that can be divided). Use more "
                    "stimuli, other shares or another seed."
                )
    return split


def _bundles(dataset: Dataset) -> dict[str, str]:
    """Name what must stay together of each content hash: its group's name, or the hash itself.

    Groups that share an image are one, named after the first by name.
    """
    groups: dict[str, set[str]] = {}
    for recording in dataset.values():
        for digest, group in zip(recording.stimuli.hashes, recording.stimuli.groups, strict=True):
            groups.setdefault(digest, set()).update({group} - {""})
    leader: dict[str, str] = {}

    def lead(group: str) -> str:
        while leader.get(group, group) != group:
            group = leader[group]
        return group

    for joined in groups.values():
        leaders = sorted({lead(group) for group in joined})
        leader.update(dict.fromkeys(leaders, leaders[0]) if leaders else {})
    return {h: lead(min(joined)) if joined else h for h, joined in groups.items()}


def assert_unseen(
    seen: Iterable[str] | Mapping[str, object], hashes: Sequence[str], what: str
) -> None:
    """Refuse to score on stimuli that the model has seen in any stage.

    Args:
        seen: content hashes the model was tuned, grown or selected on.
        hashes: content hashes of the stimuli to be scored on.
        what: what is being scored, for the message.

    Raises:
        LeakError: with how many overlap.
    """
    both = set(seen) & set(hashes)
    if both:
        raise LeakError(
            f"{what}: the model has seen {len(both)} of {len(set(hashes))} test stimuli in "
            f"training (for example {sorted(both)[0][:12]}…). Score it on other stimuli, or tune "
            "it again with this split."
        )
