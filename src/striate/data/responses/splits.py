"""Split: every stimulus belongs to exactly one part, by what the image is, everywhere."""

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
from striate.data.responses.bundles import Bundles, Lookalikes, find_bundles
from striate.data.responses.dataset import Dataset

Part = Literal["tune", "fit", "select", "test"]
SPLIT_FILE = "splits.parquet"
"""Where a run folder keeps its split."""
PARTS: tuple[Part, ...] = ("tune", "fit", "select", "test")


class SplitConfig(Config):
    """How stimuli are divided.

    The share of each part is ours: Mulrooney & Brockmeier 2024 have 85 % for tuning and readout,
    15 % for scoring, and no part for selection (docs/papers/contrastive-tuning.md 3.2).
    """

    seed: int = 0
    tune: float = Field(0.60, ge=0, lt=1)
    fit: float = Field(0.15, gt=0, lt=1)
    select: float = Field(0.10, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)
    lookalikes: Lookalikes = "group"
    """Pictures that look like one picture, re-encoded or resized: `group` puts them into one part,
    as exact copies are; `warn` names those on both sides of the split; `ignore` does not look."""
    table: str | None = None
    """`splits.parquet` of an earlier run, whose parts are taken; the other keys then count for
    nothing. With fewer or more subjects other look-alikes may be found, and a model that was tuned
    with one split could otherwise not be scored with the next."""
    held_out: tuple[str, ...] = ()
    """Subjects never used for tuning. What only they saw is divided into fit, select and test."""


@dataclass(frozen=True)
class Split:
    """Which part each stimulus belongs to.

    Attributes:
        table: one row a subject x stimulus: `subject, stimulus_id, hash, part`; `part` is one of
            tune, fit, select, test, or `unused`. Further columns, where any stimulus has it:
            `group` (`StimulusSet.groups`), `file_hash` (`StimulusSet.file_hashes`), `lookalike`
            (one name for pictures that look alike), `together` (one label for stimuli that folds
            and resamples keep together, `` for one that stands alone).
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
        """One label a stimulus of a subject: what folds, resamples and nulls keep together.

        It joins groups that the data state, such as movies, and look-alikes
        (`data.responses.bundles`); `` for a stimulus that stands alone.

        Args:
            subject: whose stimuli.
            rows: positions of some of them; default all.
        """
        own = self.table[self.table["subject"] == subject]
        if own.empty:
            raise unknown_name("subject", subject, self.table["subject"].unique())
        name = next((c for c in ("together", "group") if c in own.columns), None)
        labels = own[name].tolist() if name else [""] * len(own)
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
                bad = used[used[column] == parts.idxmax()].drop_duplicates(["subject", "part"])
                where = ", ".join(
                    f"{r.subject}/{r.stimulus_id} in {r.part}" for r in bad.itertuples()
                )
                raise LeakError(
                    f"{int((parts > 1).sum())} {what} are in two parts of the split: {where}."
                )
        return cls(table.reset_index(drop=True))

    def of(self, dataset: Dataset, place: str | Path) -> Split:
        """Take the rows of these subjects and stimuli, in their order; `place` names the table.

        Raises:
            InputError: a subject or stimulus that the table does not have, or another picture.
        """
        tables = []
        for subject, recording in dataset.items():
            own = self.table[self.table["subject"] == subject].set_index("stimulus_id", drop=False)
            missing = [name for name in recording.stimuli.ids if name not in own.index]
            if missing:
                raise InputError(
                    f"subject {subject}: {len(missing)} stimuli are not in the split {place} "
                    f"(first: {missing[0]}). Divide the stimuli anew: leave split.table out."
                )
            tables.append(own.loc[list(recording.stimuli.ids)])
        found = Split.from_table(pd.concat(tables, ignore_index=True))
        found.check_fits(dataset, place)
        return found

    def check_fits(self, dataset: Dataset, place: str | Path) -> None:
        """Refuse a saved split that is not of these stimuli; `place` is where it was saved.

        An image is known by its pixels or by the bytes of its file, as another library may decode
        it to other pixels.

        Raises:
            InputError: naming the subject and the first stimulus.
        """
        mend = (
            f"The split in {place} was made for other stimuli. Choose another output folder, pass "
            "--overwrite to divide the stimuli anew, or leave split.table out."
        )
        subjects = list(dict.fromkeys(self.table["subject"]))
        if set(subjects) != set(dataset):
            odd = ", ".join(sorted(set(subjects) ^ set(dataset)))
            raise InputError(f"subjects differ from those of the saved split ({odd}). {mend}")
        for subject, recording in dataset.items():
            own, stimuli = self.table[self.table["subject"] == subject], recording.stimuli
            if own["stimulus_id"].tolist() != list(stimuli.ids):
                names = sorted(set(own["stimulus_id"]) ^ set(stimuli.ids)) or ["their order"]
                raise InputError(
                    f"subject {subject}: stimuli differ from those of the saved split "
                    f"({', '.join(names[:3])}). {mend}"
                )
            same = own["hash"].to_numpy() == np.array(stimuli.hashes)
            if "file_hash" in own.columns:
                files = own["file_hash"].to_numpy()
                same |= (files == np.array(stimuli.file_hashes)) & (files != "")
            if not same.all():
                raise InputError(
                    f"subject {subject}: {int((~same).sum())} images are other pictures than those "
                    f"of the saved split (first: {stimuli.ids[int((~same).argmax())]}). {mend}"
                )


def make_split(dataset: Dataset, config: SplitConfig | None = None) -> Split:
    """Divide a data set's stimuli by the content hash of their images.

    The part depends on the image and the seed alone (`core.hashing.hash_fraction`), so it stays
    the same when subjects are added, and an image that two subjects saw is in one part for both.
    Sizes are therefore near the shares asked for, not exactly them. Images of one group
    (`StimulusSet.groups`) go to one part together, and the part depends on the group's name; so do
    images that look alike (`config.lookalikes`), by the smallest hash among them.

    Raises:
        InputError: unknown held-out subject, shares that do not add up to 1, an empty part; a
            table of an earlier run (`config.table`) that does not fit.
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
    found = find_bundles(dataset, config.lookalikes)
    bundles = found.leader
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
    parts = {}
    for lead in set(bundles.values()):
        place, at = hash_fraction(config.seed, lead), edges if lead in tuned else held_edges
        parts[lead] = PARTS[int(np.searchsorted(at, place, "right"))]
    split = _tabulate(dataset, found, parts)
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


def group_stimuli(dataset: Dataset, lookalikes: Lookalikes = "group") -> Split:
    """Find what stays together (`Split.groups`) where nothing is divided: all parts are unused."""
    return _tabulate(dataset, find_bundles(dataset, lookalikes), {})


def load_split(path: str | Path, dataset: Dataset) -> Split | None:
    """Read the split that an earlier run with the same settings saved; None where there is none.

    So that a run that is gone on with finds the same look-alikes, whatever decodes the images now.

    Raises:
        InputError: it is not of these stimuli, as `Split.check_fits`.
    """
    if not Path(path).exists():
        return None
    split = Split.load(path)
    split.check_fits(dataset, path)
    return split


def _tabulate(dataset: Dataset, found: Bundles, parts: Mapping[str, str]) -> Split:
    """One row a subject x stimulus; `parts` by the leader of a bundle."""
    tables = []
    for subject, recording in dataset.items():
        images = recording.stimuli
        columns = {
            "subject": [subject] * len(images),
            "stimulus_id": images.ids,
            "hash": images.hashes,
            "part": [parts.get(found.leader[digest], "unused") for digest in images.hashes],
            "group": images.groups,
            "file_hash": images.file_hashes,
            "lookalike": [found.alike[digest] for digest in images.hashes],
            "together": found.labels(images),
        }
        tables.append(pd.DataFrame(columns))
    table = pd.concat(tables, ignore_index=True)
    optional = ("group", "file_hash", "lookalike", "together")
    return Split.from_table(table.drop(columns=[c for c in optional if not table[c].any()]))
