"""Synthesize textures one by one and keep each, so that a stopped run can continue."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from striate.core.cache import Cache
from striate.core.draws import generator_at
from striate.core.files import read_json, write_json
from striate.core.hashing import hash_array
from striate.data.textures.portilla_simoncelli import (
    Statistics,
    require_plenoptic,
    scales,
    synthesize,
)
from striate.data.textures.seed_images import Seed, find_seeds
from striate.data.textures.stimuli import (
    CONVERGED,
    TYPES,
    TextureConfig,
    Textures,
    spectrally_matched_noise,
)

START, PHASES, CONTROL = 0, 1, 2
"""Kinds of random draws (see `core.draws`)."""
_VERSION = 1


def check_textures(config: TextureConfig) -> tuple[list[Seed], list[str]]:
    """Return the seeds that the config asks for, and notes (`find_seeds`), without a synthesis.

    Raises:
        InputError: unusable seeds, or a side that is too small.
    """
    scales(config.side)
    most = None if config.families else config.n_families
    return find_seeds(config.side, config.seeds, config.families, most, config.shrink)


def make_textures(
    config: TextureConfig,
    *,
    cache: Cache | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> Textures:
    """Synthesize the textures that the cache does not hold yet, and make their noise.

    The same settings, seeds and versions give the same textures on one kind of machine. Each is
    cached by itself as soon as it is done, so a stopped run can continue, and further samples are
    added to the existing ones.

    Args:
        config: the textures to make.
        cache: where textures are kept. Default: the user's cache.
        device: device on which statistics are computed.
        say: called with a line before a long synthesis, and after each family.

    Raises:
        InputError: unusable seeds (`find_seeds`), a side that is too small, or plenoptic is not
            installed although something has to be synthesized.
    """
    cache = cache or Cache()
    seeds, notes = check_textures(config)
    n_wanted = len(config.families) if config.families else config.n_families
    if len(seeds) < n_wanted:
        notes.append(
            f"{len(seeds)} of {n_wanted} texture families: intervals over families are wide. Name "
            "a folder of more seed textures: textures.seeds=FOLDER."
        )
    maker = _Maker(config, cache, device, say)
    maker.announce(seeds)
    images = np.empty(
        (len(TYPES), len(seeds), config.samples, config.side, config.side), dtype=np.float32
    )
    rows = []
    for k, seed in enumerate(seeds):
        for i in range(config.samples):
            texture, facts = maker.texture(seed, i)
            trio = [texture, *(maker.noise(seed, i, texture, kind) for kind in (PHASES, CONTROL))]
            images[:, k, i] = trio
            clipped = float(np.mean(np.abs(trio) > 1))
            rows.append({"family": seed.name, "sample": i, **facts, "clipped": clipped})
        say(f"texture family {seed.name}: {maker.describe_synthesis(rows[-config.samples :])}")
    table = pd.DataFrame(rows)
    textures = Textures(
        images,
        tuple(s.name for s in seeds),
        table,
        config.degrees,
        n_wanted,
        sources={s.name: s.source for s in seeds},
    )
    notes += _judge_quality(textures)
    return Textures(**{**vars(textures), "notes": tuple(notes)})


def _judge_quality(textures: Textures) -> list[str]:
    """Return notes on textures that converged poorly or are clipped."""
    notes = []
    for name in textures.poor():
        remaining = textures.synthesis[textures.synthesis["family"] == name]["remaining"].median()
        notes.append(
            f"texture family {name} converged poorly: {remaining:.0%} of the first error of its "
            f"statistics remains (limit {CONVERGED:.0%}). Raise textures.evaluations or leave "
            "it out."
        )
    clipped = textures.synthesis.groupby("family", sort=False)["clipped"].mean()
    for family, share in clipped.items():
        if share > 0.001:
            notes.append(
                f"texture family {family}: {share:.1%} of pixels are cut off at black or white, so "
                "texture and noise do not have quite the same spectrum. Lower textures.contrast."
            )
    return notes


class _Maker:
    """Makes single textures, or takes them from the cache."""

    def __init__(
        self, config: TextureConfig, cache: Cache, device: str, say: Callable[[str], None]
    ) -> None:
        self.config, self.cache, self.device, self.say = config, cache, device, say
        self._statistics: Statistics | None = None

    def _build_key(self, seed: Seed, sample: int) -> dict[str, Any]:
        """Build the key of a texture in the cache."""
        config = self.config
        return {
            "seed_texture": hash_array(seed.pixels),
            "sample": sample,
            "seed": config.seed,
            "evaluations": config.evaluations,
            "device": self.device.partition(":")[0],
            "version": _VERSION,
        }

    def _derive_stream(self, seed: Seed) -> int:
        """Return the stream of a family's random draws, which does not depend on other families."""
        return int(seed.hash[:8], 16)

    @property
    def statistics(self) -> Statistics:
        """The statistics of images of this size, built on first use."""
        if self._statistics is None:
            self._statistics = Statistics(self.config.side, self.device)
        return self._statistics

    def announce(self, seeds: list[Seed]) -> None:
        """Say how many textures have to be made, and about how long that takes."""
        places = [
            self.cache.path("textures", self._build_key(s, i))
            for s in seeds
            for i in range(self.config.samples)
        ]
        missing = sum(not place.is_dir() for place in places)
        if not missing:
            return
        require_plenoptic()
        image = torch.rand(self.config.side, self.config.side, device=self.statistics.device)
        durations = []
        for _ in range(3):
            started = time.perf_counter()
            self.statistics(image.requires_grad_(True)).sum().backward()
            durations.append(time.perf_counter() - started)
        minutes = 1.3 * min(durations) * self.config.evaluations * missing / 60
        self.say(
            f"{missing} of {len(places)} textures are to be synthesized: about {minutes:.1f} "
            f"minutes on {self.device} (they are kept for all later runs)"
        )

    def texture(self, seed: Seed, sample: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Return one texture as contrast around 0, and the facts of its synthesis."""
        config = self.config

        def build(place: Path) -> None:
            synthesis = synthesize(
                seed.pixels,
                generator_at(config.seed, sample, START, self._derive_stream(seed)),
                config.evaluations,
                self.statistics,
            )
            np.save(place / "texture.npy", synthesis.pixels)
            names = ("start", "end", "remaining", "evaluations", "seconds")
            write_json(place / "facts.json", {name: getattr(synthesis, name) for name in names})

        place = self.cache.get("textures", self._build_key(seed, sample), build)
        pixels = np.load(place / "texture.npy").astype(np.float64)
        facts: dict[str, Any] = read_json(place / "facts.json")
        return config.contrast * (pixels - pixels.mean()) / pixels.std(), facts

    def noise(self, seed: Seed, sample: int, texture: np.ndarray, kind: int) -> np.ndarray:
        """Make noise with the spectrum of this texture."""
        generator = generator_at(self.config.seed, sample, kind, self._derive_stream(seed))
        return spectrally_matched_noise(texture, generator)

    def describe_synthesis(self, rows: list[dict[str, Any]]) -> str:
        """Describe how well the synthesis of a family's textures converged."""
        remaining = float(np.median([row["remaining"] for row in rows]))
        seconds = float(np.median([row["seconds"] for row in rows]))
        return f"{remaining:.1%} of the first error remains, {seconds:.1f} s a texture (medians)"
