"""Simulated subjects with planted truth: units that read known components of a known network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.errors import InputError
from striate.core.files import read_json
from striate.core.hashing import hash_image
from striate.core.run import RunFolder
from striate.data.images.decode import resize_image
from striate.data.readers.algonauts2023 import HEMISPHERES
from striate.data.responses.simulated import (
    Planted,
    Side,
    cut,
    packaged_photographs,
    photographs_in,
    plant,
    write_subject,
)
from striate.encoding import ProjectionConfig, extract
from striate.evaluate.common.options import Options
from striate.evaluate.simulated.config import SimulateConfig

TEST_IMAGES = 10
"""Images without responses that each subject gets, as the real data have."""
BLANK_UNITS = 10
"""Vertices of pure noise, in no ROI, on each hemisphere."""


def simulate(config: SimulateConfig, out: str | Path, options: Options | None = None) -> Path:
    """Write simulated subjects below `out`, in the exact layout of the Algonauts 2023 data.

    Each subject's folder also gets `SIMULATED.json` (what was planted) and `planted/` (the
    components its units read, one `.npy` a ROI), which real data do not have. A subject that is
    there already is left alone.

    Raises:
        InputError: too few photographs, unknown ROI, tap or model; a folder that holds something
            else.
    """
    options = options or Options()
    run = RunFolder(
        out, config, command=options.command, verb="simulate", overwrite=options.overwrite
    )
    files = photographs_in(config.photographs) if config.photographs else packaged_photographs()
    images = cut(files, config.tile, config.most, config.seed)
    unshared = config.stimuli - config.shared
    needed = config.shared + config.subjects * (unshared + TEST_IMAGES)
    if len(images) < needed:
        raise InputError(
            f"{len(files)} photographs give {len(images)} images of {config.tile} pixels that "
            f"share no pixel; {needed} are needed. Use fewer stimuli or subjects, smaller tiles, "
            "or a folder with more photographs."
        )
    images = images[:needed]
    features, fingerprint = _extract_features(config, images, options.cache)
    for number in range(1, config.subjects + 1):
        folder = run / f"subj{number:02d}"
        if not (folder / "SIMULATED.json").exists():
            _write_planted(config, folder, number, images, features, fingerprint, sorted(files))
    return run.path


def _extract_features(
    config: SimulateConfig, images: list[np.ndarray], cache: Cache
) -> tuple[dict[str, np.ndarray], str]:
    """Extract the features in which components are planted, and the model's fingerprint."""
    model = config.model.build()
    shape = model.preprocessing
    resized = np.stack([resize_image(image, shape.size, shape.resize) for image in images])
    features = extract(
        model,
        resized,
        [hash_image(image) for image in images],
        taps=tuple(dict.fromkeys(roi.tap for roi in config.rois)),
        projection=ProjectionConfig(kind="none", grid=config.grid),
        compute=Compute(cache=cache, progress=False),
    )
    return features, model.fingerprint()


def _write_planted(
    config: SimulateConfig,
    folder: Path,
    number: int,
    images: list[np.ndarray],
    features: dict[str, np.ndarray],
    fingerprint: str,
    photographs: list[str],
) -> None:
    """Plant components in one subject and write its folder."""
    unshared = config.stimuli - config.shared
    first = config.shared + (number - 1) * (unshared + TEST_IMAGES)
    last = first + unshared
    rows = np.concatenate([np.arange(config.shared), np.arange(first, last)])
    rows = np.random.default_rng([config.seed, number]).permutation(rows)
    planted = {}
    for i, roi in enumerate(config.rois):
        seed = 1000 * config.seed + 100 * i + number
        components = plant(
            np.asarray(features[roi.tap]),
            roi.units,
            roi.components,
            roi.ncsnr,
            config.repeats,
            seed,
        )
        planted[roi.name] = Planted(
            components.latents[rows], components.responses[rows], components.ceiling
        )
    test = {int(n): images[n] for n in range(last, last + TEST_IMAGES)}
    truth: dict[str, Any] = {
        "model": config.model.id,
        "fingerprint": fingerprint,
        "image_size": config.model.image_size,
        "grid": config.grid,
        "repeats": config.repeats,
        "seed": config.seed,
        "photographs": photographs,
        "rois": [roi.to_dict() for roi in config.rois],
    }
    write_subject(
        folder,
        [images[i] for i in rows],
        rows.tolist(),
        test,
        {side: _join_rois(config, side, planted, len(rows), number) for side in HEMISPHERES},
        truth,
        {name: p.latents.astype(np.float32) for name, p in planted.items()},
    )


def _join_rois(
    config: SimulateConfig, side: str, planted: dict[str, Planted], n: int, number: int
) -> Side:
    """Join a hemisphere's ROIs, with vertices of noise behind them."""
    generator = np.random.default_rng([config.seed, number, HEMISPHERES.index(side)])
    blocks, ceilings, rois, start = [], [], {}, 0
    for roi in config.rois:
        if roi.hemisphere == side:
            blocks.append(planted[roi.name].responses)
            ceilings.append(planted[roi.name].ceiling)
            rois[roi.name] = np.arange(start, start + roi.units)
            start += roi.units
    blocks.append(generator.normal(size=(n, BLANK_UNITS)).astype(np.float32))
    ceilings.append(np.zeros(BLANK_UNITS))
    return Side(np.concatenate(blocks, axis=1), rois, np.concatenate(ceilings))


def truth_of(data: str | Path, subject: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what was planted in a simulated subject, and the components (N, K) by ROI."""
    folder = Path(data) / subject
    truth = read_json(folder / "SIMULATED.json")
    return truth, {
        roi["name"]: np.load(folder / "planted" / f"{roi['name']}.npy") for roi in truth["rois"]
    }
