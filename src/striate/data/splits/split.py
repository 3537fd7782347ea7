"""Split: the content of a stimulus decides its one part, for all subjects and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from striate.core.config import Config
from striate.core.errors import InputError, LeakError, unknown_name
from striate.core.files import write_table
from striate.core.hashing import hash_fraction
from striate.data.responses.dataset import Dataset
from striate.data.splits.bundles import Bundles, Lookalikes, find_bundles

Part = Literal["tune", "fit", "select", "test"]
SPLIT_FILE = "splits.parquet"
"""Name of the split table in a run folder."""
PARTS: tuple[Part, ...] = ("tune", "fit", "select", "test")


class SplitConfig(Config):
    """How stimuli are divided.

    The shares are ours: the paper uses 85 % for tuning and readout together and 15 % for scoring,
    without a part for selection (docs/papers/contrastive-tuning.md 3.2).
    """

    seed: int = 0
    tune: float = Field(0.60, ge=0, lt=1)
    fit: float = Field(0.15, gt=0, lt=1)
    select: float = Field(0.10, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)
    lookalikes: Lookalikes = "group"
    """What to do about re-encoded or resized copies of a picture: `group` puts them into one part,
    like exact copies; `warn` names those on both sides of the split; `ignore` does not look."""
    table: str | None = None
    """`splits.parquet` of an earlier run, whose parts are used; the other keys are then ignored.
    Without it a model that was tuned with one split could not be scored with the next, as other
    look-alikes may be found with fewer or more subjects."""
    held_out: tuple[str, ...] = ()
    """Subjects never used for tuning. Stimuli that only they saw are divided into fit, select and
    test."""


@dataclass(frozen=True)
class Split:
    """The part of each stimulus.

    Attributes:
        table: one row for each stimulus of each subject: `subject, stimulus_id, hash, part`; `part`
            is tune, fit, select, test or `unused`. Further columns, each only if any stimulus has
            a value: `group` (`StimulusSet.groups`), `file_hash` (`StimulusSet.file_hashes`),
            `lookalike` (one name for pictures that look alike), `together` (one label for stimuli
            that folds and resamples keep together, `` for one that stands alone).
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

    def groups(self, subject: str, rows: Sequence[int] | np.ndarray | None = None) -> list[str]:
        """Label each stimulus of a subject with what folds, resamples and nulls keep together.

        A label joins groups that the data state, such as movies, and look-alikes
        (`data.splits.bundles`). It is `` for a stimulus that stands alone.

        Args:
            subject: the subject whose stimuli are labeled.
            rows: positions of some of the stimuli; default all.
        """
        subject_rows = self.table[self.table["subject"] == subject]
        if subject_rows.empty:
            raise unknown_name("subject", subject, self.table["subject"].unique())
        name = next((c for c in ("together", "group") if c in subject_rows.columns), None)
        labels = subject_rows[name].tolist() if name else [""] * len(subject_rows)
        return labels if rows is None else [labels[row] for row in rows]

    def hashes(self, *parts: str) -> set[str]:
        """Content hashes of all stimuli in the named parts, over all subjects."""
        return set(self.table.loc[self.table["part"].isin(parts), "hash"])

    def counts(self) -> pd.DataFrame:
        """Number of stimuli by subject (rows) and part (columns)."""
        return pd.crosstab(self.table["subject"], self.table["part"])

    def save(self, path: str | Path) -> None:
        """Write the table as parquet, atomically."""
        write_table(path, self.table)

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read a table that `save` wrote."""
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise InputError(f"split table {path} cannot be read: {error}") from error
        return cls.from_table(table)

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> Split:
        """Take a table after checking that no image and no group is in two parts.

        Raises:
            InputError: a column is missing, or a part is unknown.
            LeakError: an image or group is in two parts, under whatever names and subjects.
        """
        for column in ("subject", "stimulus_id", "hash", "part"):
            if column not in table.columns:
                raise unknown_name("column of a split table", column, table.columns)
        for part in table["part"].unique():
            if part not in (*PARTS, "unused"):
                raise unknown_name("part of a split", str(part), (*PARTS, "unused"))
        used = table[table["part"] != "unused"]
        for column, what in (
            ("hash", "images"),
            ("file_hash", "files"),
            ("group", "groups of images"),
            ("together", "groups of images that look alike or share an image"),
        ):
            if column not in used.columns:
                continue
            parts = used[used[column] != ""].groupby(column)["part"].nunique()
            if (parts > 1).any():
                leaking = used[used[column] == parts.idxmax()].drop_duplicates(["subject", "part"])
                places = ", ".join(
                    f"{r.subject}/{r.stimulus_id} in {r.part}" for r in leaking.itertuples()
                )
                raise LeakError(
                    f"{int((parts > 1).sum())} {what} are in two parts of the split: {places}."
                )
        return cls(table.reset_index(drop=True))

    def of(self, dataset: Dataset, place: str | Path) -> Split:
        """Select the rows of a data set's stimuli, in its order; `place` names the table.

        Raises:
            InputError: the table lacks a subject or stimulus, or has another picture for it.
        """
        tables = []
        for subject, recording in dataset.items():
            subject_rows = self.table[self.table["subject"] == subject].set_index(
                "stimulus_id", drop=False
            )
            missing = [name for name in recording.stimuli.ids if name not in subject_rows.index]
            if missing:
                raise InputError(
                    f"subject {subject}: {len(missing)} stimuli are not in the split {place} "
                    f"(first: {missing[0]}). Divide the stimuli anew: leave split.table out."
                )
            tables.append(subject_rows.loc[list(recording.stimuli.ids)])
        split = Split.from_table(pd.concat(tables, ignore_index=True))
        split.check_fits(dataset, place)
        return split

    def check_fits(self, dataset: Dataset, place: str | Path) -> None:
        """Refuse a saved split that was made for other stimuli; `place` is its path.

        An image is recognized by its pixels or by the bytes of its file, as another library may
        decode it to other pixels.

        Raises:
            InputError: subjects, stimuli or pictures differ; the first of them is named.
        """
        advice = (
            f"The split in {place} was made for other stimuli. Choose another output folder, pass "
            "--overwrite to divide the stimuli anew, or leave split.table out."
        )
        subjects = list(dict.fromkeys(self.table["subject"]))
        if set(subjects) != set(dataset):
            differing = ", ".join(sorted(set(subjects) ^ set(dataset)))
            raise InputError(
                f"subjects differ from those of the saved split ({differing}). {advice}"
            )
        for subject, recording in dataset.items():
            subject_rows, stimuli = self.table[self.table["subject"] == subject], recording.stimuli
            if subject_rows["stimulus_id"].tolist() != list(stimuli.ids):
                names = sorted(set(subject_rows["stimulus_id"]) ^ set(stimuli.ids)) or [
                    "their order"
                ]
                raise InputError(
                    f"subject {subject}: stimuli differ from those of the saved split "
                    f"({', '.join(names[:3])}). {advice}"
                )
            is_same = subject_rows["hash"].to_numpy() == np.array(stimuli.hashes)
            if "file_hash" in subject_rows.columns:
                files = subject_rows["file_hash"].to_numpy()
                is_same |= (files == np.array(stimuli.file_hashes)) & (files != "")
            if not is_same.all():
                raise InputError(
                    f"subject {subject}: {int((~is_same).sum())} images are other pictures than "
                    "those of the saved split (first: "
                    f"{stimuli.ids[int((~is_same).argmax())]}). {advice}"
                )


def make_split(dataset: Dataset, config: SplitConfig | None = None) -> Split:
    """Divide a data set's stimuli by the content hash of their images.

    The part depends only on the image and the seed (`core.hashing.hash_fraction`). It therefore
    stays the same when subjects are added, an image that two subjects saw is in one part for both,
    and the sizes of the parts are near the shares asked for, but not exact. Images of one group
    (`StimulusSet.groups`) go to one part, which depends on the group's name. Images that look alike
    (`config.lookalikes`) go to one part, which depends on the smallest hash among them.

    Raises:
        InputError: an unknown held-out subject, shares that do not add up to 1, an empty part, or
            a table of an earlier run (`config.table`) that does not fit.
    """
    config = config or SplitConfig()
    if config.table is not None:
        return Split.load(config.table).of(dataset, config.table)
    shares = np.array([getattr(config, p) for p in PARTS])
    if abs(shares.sum() - 1) > 1e-9:
        raise InputError(f"split shares must add up to 1, found {shares.sum():g} ({shares}).")
    for subject in config.held_out:
        if subject not in dataset:
            raise unknown_name("held-out subject", subject, dataset)
    bundles = find_bundles(dataset, config.lookalikes)
    leaders = bundles.leader
    tuned = {
        leaders[digest]
        for subject, hashes in dataset.hashes().items()
        if subject not in config.held_out
        for digest in hashes
    }
    edges = np.cumsum(shares)[:-1]
    # Stimuli that only held-out subjects saw have no `tune` part. Its share goes to `fit`, so that
    # `select` and `test` have the same edges for all subjects.
    held_out_edges = np.array([0.0, edges[1], edges[2]])
    parts = {}
    for leader in set(leaders.values()):
        fraction, part_edges = (
            hash_fraction(config.seed, leader),
            edges if leader in tuned else held_out_edges,
        )
        parts[leader] = PARTS[int(np.searchsorted(part_edges, fraction, "right"))]
    split = _tabulate_parts(dataset, bundles, parts)
    for subject in dataset:
        tuning = config.tune > 0 and subject not in config.held_out
        for part in PARTS if tuning else PARTS[1:]:
            if split.part(subject, part).size == 0:
                hashes = dataset[subject].stimuli.hashes
                together = len({leaders[digest] for digest in hashes})
                raise InputError(
                    f"subject {subject} has no stimulus in part {part!r} of the split "
                    f"({len(hashes)} stimuli in all, {together} that can be divided). Use more "
                    "stimuli, other shares or another seed."
                )
    return split


def group_stimuli(dataset: Dataset, lookalikes: Lookalikes = "group") -> Split:
    """Find the groups of stimuli (`Split.groups`) without dividing them: all parts are `unused`."""
    return _tabulate_parts(dataset, find_bundles(dataset, lookalikes), {})


def load_split(path: str | Path, dataset: Dataset) -> Split | None:
    """Read the split that an earlier run with the same settings saved; None if there is none.

    With it a run that is continued finds the same look-alikes even if the images are now decoded
    by another library.

    Raises:
        InputError: the split was made for other stimuli; see `Split.check_fits`.
    """
    if not Path(path).exists():
        return None
    split = Split.load(path)
    split.check_fits(dataset, path)
    return split


def _tabulate_parts(dataset: Dataset, bundles: Bundles, parts: Mapping[str, str]) -> Split:
    """Build a split with one row for each stimulus of each subject.

    Args:
        dataset: the recordings.
        bundles: the bundles of their pictures.
        parts: part of each bundle, by its leader; other bundles are `unused`.
    """
    tables = []
    for subject, recording in dataset.items():
        images = recording.stimuli
        columns = {
            "subject": [subject] * len(images),
            "stimulus_id": images.ids,
            "hash": images.hashes,
            "part": [parts.get(bundles.leader[digest], "unused") for digest in images.hashes],
            "group": images.groups,
            "file_hash": images.file_hashes,
            "lookalike": [bundles.alike[digest] for digest in images.hashes],
            "together": bundles.labels(images),
        }
        tables.append(pd.DataFrame(columns))
    table = pd.concat(tables, ignore_index=True)
    optional = ("group", "file_hash", "lookalike", "together")
    return Split.from_table(table.drop(columns=[c for c in optional if not table[c].any()]))
