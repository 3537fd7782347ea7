"""What `striate grow` writes of the units of a grown model."""

from __future__ import annotations

from pathlib import Path

from striate.core.files import write_arrays, write_json, write_table
from striate.evaluate.growth.measure import GrownUnits
from striate.evaluate.units.gabor_fits import share_of_gabors


def write_units(folder: Path, units: GrownUnits) -> None:
    """Write `tables/tuning.parquet`, `tables/gabors.parquet`, `units.npz` and `units.json`."""
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    write_table(tables / "tuning.parquet", units.tuning)
    summary: dict[str, object] = {"taps": list(units.taps)}
    if units.gabors is not None:
        write_table(tables / "gabors.parquet", units.gabors)
        summary["gabors"] = share_of_gabors(units.gabors)
    arrays = {"kernels": units.kernels} if units.kernels is not None else {}
    if units.pooling is not None:
        arrays |= {
            "plane": units.pooling.plane,
            "spatial": units.pooling.spatial,
            "orientations": units.pooling.orientations,
            "frequencies": units.pooling.frequencies,
        }
    write_arrays(folder / "units.npz", arrays)
    write_json(folder / "units.json", summary)
