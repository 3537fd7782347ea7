"""What the tables of each verb contribute to a scorecard. They are read; nothing is computed.

The deepest tap stands for a model where a table has all taps and none was chosen without the
scored data: the best of them would be a choice on the test stimuli.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from striate.evaluate.common.measurement import FILE, Measurement, read_measurements
from striate.report.scorecard.sources import behavior, neurons, units
from striate.report.scorecard.sources.common import TWIN, Config

__all__ = ["TWIN", "measurements_of"]

Reader = Callable[[Path, Config], Iterable[Measurement]]


def measurements_of(run: Path, config: Config) -> list[Measurement]:
    """Every measurement that a run folder holds; none for a run that scores nothing."""
    found: list[Measurement] = []
    for table, reader in READERS.items():
        if (run / table).exists():
            found += reader(run, config)
    return found


def _given(run: Path, config: Config) -> list[Measurement]:
    return read_measurements(run / FILE)


READERS: dict[str, Reader] = {
    FILE: _given,
    "tables/freeman_ziemba.parquet": neurons.freeman_ziemba,
    "tables/scores.parquet": neurons.sets,
    "tables/rdms_92images.parquet": neurons.images92,
    "tables/texture_modulation.parquet": units.modulation,
    "tables/similarity.parquet": units.properties,
    "tables/tuning.parquet": units.medians,
    "tables/means.parquet": behavior.behavior,
    "tables/group.parquet": neurons.encoding,
}
"""By the table that says a run has something to tell."""
