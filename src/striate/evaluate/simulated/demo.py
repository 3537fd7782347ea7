"""The main job on a default that comes with the installation: photographs, a network, a truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.core.files import write_json
from striate.data import read
from striate.data.responses.simulated import PACKAGED
from striate.data.splits.split import SPLIT_FILE, Split
from striate.encoding import EncodeConfig, ProjectionConfig, encode
from striate.evaluate.common.choices import DataConfig, ModelConfig
from striate.evaluate.common.options import Options
from striate.evaluate.simulated.config import SimulateConfig
from striate.evaluate.simulated.run import simulate, truth_of
from striate.evaluate.tuned.config import CompareConfig
from striate.evaluate.tuned.run import Result, compare
from striate.learning import TuneConfig

ORACLE = "planted components"


@dataclass(frozen=True)
class Demo:
    """What `demo` returns: the comparison, and in words what was planted and recovered."""

    result: Result
    lines: list[str]


def demo_config(data: Path, planted: SimulateConfig, epochs: int) -> CompareConfig:
    """Configure the demo's comparison: one network, five models, small enough for 2 cores.

    Both objectives get the same budget, heads first and then the later blocks of the network.
    """
    taps = ("_blocks.2", "_blocks.4", "_blocks.6", "_blocks.10")
    budget: dict[str, Any] = {
        "tap": "_blocks.10",
        "tap_grid": planted.grid,
        "epochs": epochs,
        "head_epochs": epochs // 6,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "head_learning_rate": 2e-3,
        "order": "mixed",
        "freeze": ("_conv_stem", "_bn0", "_blocks.0", "_blocks.1"),
    }
    return CompareConfig(
        data=DataConfig(name="algonauts2023", path=str(data)),
        model=ModelConfig(id=planted.model.id, image_size=planted.model.image_size),
        encode=EncodeConfig(
            taps=taps, projection=ProjectionConfig(kind="none", grid=planted.grid), bootstrap=500
        ),
        rois=tuple(roi.name for roi in planted.rois),
        contrastive=TuneConfig(h=512, z=256, **budget),
        regression=TuneConfig.regression(**budget),
    )


def demo(
    out: str | Path,
    options: Options | None = None,
    *,
    planted: SimulateConfig | None = None,
    epochs: int = 12,
) -> Demo:
    """Simulate subjects from packaged photographs, compare five models and check the truth.

    Writes `out/simulated` (the data) and `out/run` (the run folder).

    Args:
        out: where to.
        options: how to carry it out.
        planted: the simulation; default two subjects with two ROIs.
        epochs: of every tuning.

    Raises:
        InputError: the photographs' packages are not installed, or a folder that holds something
            else.
    """
    options = options or Options()
    out = Path(out)
    names = " and ".join(f"{len(files)} of {name}" for name, (_, files) in PACKAGED.items())
    planted = planted or SimulateConfig()
    options.say(
        f"SIMULATED data: stimuli cut from photographs inside installed packages ({names}); "
        f"responses planted with {planted.model.id}."
    )
    data = simulate(planted, out / "simulated", Options(cache=options.cache))
    result = compare(demo_config(data, planted, epochs), out / "run", options)
    lines = check_truth(result, data, planted)
    write_json(out / "run" / "planted.json", {"lines": lines})
    return Demo(result, lines)


def check_truth(result: Result, data: Path, planted: SimulateConfig) -> list[str]:
    """Say, ROI by ROI, what was planted and how much of it the comparison found."""
    split = Split.load(result.folder / SPLIT_FILE)
    taps = pd.read_parquet(result.folder / "tables" / "taps.parquet")
    oracle = _score_oracle(data, planted, split)
    lines = []
    for roi in planted.rois:
        where = f"{roi.hemisphere} {roi.name}"
        models = result.group[result.group["roi"] == roi.name]
        r = dict(zip(models["model"], models["r"].astype(float), strict=True))
        chosen = taps[(taps["roi"] == roi.name) & (taps["model"] == "untuned") & taps["chosen"]]
        best_taps = sorted(set(chosen["tap"]))
        verdict = "recovered" if best_taps == [roi.tap] else "NOT recovered"
        first, last = roi.components
        lines.append(
            f"{where}: planted at tap {roi.tap}, components {first} to {last - 1}; the untuned "
            f"network's best tap: {', '.join(best_taps)} ({verdict})."
        )
        room = oracle[roi.name] - r["untuned"]
        gains = ", ".join(
            f"{model.replace('_', ' ')} {value - r['untuned']:+.3f} "
            f"({(value - r['untuned']) / room:+.0%})"
            for model, value in r.items()
            if model not in ("untuned", "random")
        )
        lines.append(
            f"{where}: noise ceiling planted {_average_ceiling(result, roi.name):.3f}; a readout "
            f"from the planted components themselves reaches {oracle[roi.name]:.3f}, the untuned "
            f"network {r['untuned']:.3f}, so the room for tuning is {room:.3f}. Of it came: "
            f"{gains}."
        )
    return lines


def _average_ceiling(result: Result, roi: str) -> float:
    """Average the noise ceiling of a ROI over subjects."""
    return float(result.rois.loc[result.rois["roi"] == roi, "ceiling"].mean())


def _score_oracle(data: Path, planted: SimulateConfig, split: Split) -> dict[str, float]:
    """Average r over subjects of a readout from the planted components, with the same split."""
    r_by_roi: dict[str, list[float]] = {roi.name: [] for roi in planted.rois}
    for subject, recording in read("algonauts2023", data).items():
        _, latents = truth_of(data, subject)
        parts = {part: split.part(subject, part) for part in ("fit", "select", "test")}
        for target in recording.responses.targets([roi.name for roi in planted.rois]):
            scores = encode(
                {ORACLE: latents[target.roi]},
                np.asarray(recording.responses.mean()[:, target.units]),
                {target.roi: np.arange(len(target.units))},
                parts,
                EncodeConfig(permutations=0),
            )
            r_by_roi[target.roi].append(scores.rois[target.roi].mean_r)
    return {roi: float(np.mean(values)) for roi, values in r_by_roi.items()}
