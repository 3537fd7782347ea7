"""What the tables of each verb contribute to a scorecard: read, or asked of `evaluate`.

The deepest tap stands for a model where a table has all taps and none was chosen without the
scored data: the best of them would be a choice on the test stimuli.
"""

from __future__ import annotations

from pathlib import Path

from striate.evaluate.common.measurement import FILE, Measurement, read_measurements
from striate.report.scorecard.sources.common import Config
from striate.verbs import Verb, resolve

__all__ = ["measurements_of"]


def measurements_of(run: Path, config: Config, verb: Verb | None) -> list[Measurement]:
    """Every measurement that a run folder holds; none for a run that scores nothing.

    Args:
        run: the folder.
        config: its settings.
        verb: that made it, whose row names the tables and what reads them; None for a script,
            which contributes by `tables/scorecard.parquet` alone.
    """
    measurements = read_measurements(run / FILE) if (run / FILE).exists() else []
    for table, address in (verb.scorecard if verb else {}).items():
        if (run / table).exists():
            measurements += resolve(address)(run, config)
    return measurements
