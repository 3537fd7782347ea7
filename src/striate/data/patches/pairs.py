"""Pairs of deformed patches of photographs: what a stage is grown on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from striate.core.cache import Cache
from striate.core.config import Config
from striate.core.draws import generator_at, share_of
from striate.core.errors import InputError
from striate.data.patches.deformation import DeformConfig, deformation, margin, resample
from striate.data.patches.photographs import HELD_OUT, MAX_SIDE, Photographs
from striate.data.patches.photometry import (
    Light,
    PhotometryConfig,
    light,
    relight,
    standardize,
    to_gray,
)

PLACE = 5
"""Kind of draws (see `core.draws`); an epoch's order has its own, and a counter of its own."""
ORDER = 6
_CHUNK = 2**20
"""Values of windows a thread takes at once on a CPU: 4 MB, which stay in its cache. With fewer,
threads would wait for each other more often, which is slow where a core has other work too."""
_RESIDENT = 0.25
"""Largest share of a GPU's free memory that the photographs may take there."""


class PatchConfig(Config):
    """How photographs are read and patches made; defaults are ours (docs/papers/lcl-v2.md 7)."""

    max_side: int | None = Field(MAX_SIDE, gt=0)
    """Shrink photographs whose longer side is above this; None keeps all as they are."""
    unreadable: Literal["error", "skip"] = "error"
    """What to do about a damaged file."""
    small: Literal["error", "skip"] = "skip"
    """What to do about a photograph that the largest deformation of a patch would leave."""
    held_out: float = Field(HELD_OUT, ge=0, lt=1)
    """Share of the photographs kept from training, by content."""
    in_memory: bool = False
    """Read all pixels at the start instead of mapping their file."""
    deform: DeformConfig = DeformConfig()
    photometry: PhotometryConfig = PhotometryConfig()


def read_photographs(
    folders: str | Path | Sequence[str | Path],
    config: PatchConfig,
    *,
    seed: int = 0,
    cache: Cache | None = None,
) -> tuple[Photographs, Photographs]:
    """Read photographs as the config says: those to train on, and those held out.

    Raises:
        InputError: see `Photographs.from_folders`.
    """
    photographs = Photographs.from_folders(
        folders,
        max_side=config.max_side,
        skip_unreadable=config.unreadable == "skip",
        in_memory=config.in_memory,
        cache=cache,
    )
    return photographs.hold_out(config.held_out, seed)


class PatchSource:
    """Pairs of views of patches of photographs, for one stage.

    Each sample is a place in a photograph, uniform among all from which no view can reach beyond
    the edge, and each view of it one deformation and one change of light (`deform.deformation`,
    `photometry.light`), resampled once from the photograph. Everything random is a function of
    the seed, stream, step and place in the whole batch: any number of processes sees the same
    samples, and so does a run that was resumed.

    The samples of a batch are of different photographs. An epoch is an order of all photographs
    cut into whole batches (what is left over waits for the next order). A batch larger than the
    number of photographs is filled with several orders, so that no photograph is in it more than
    once more than another.

    Args:
        photographs: what to cut patches from.
        field: receptive field of the stage, px.
        patch: side of a patch, px.
        amplitude: relative amplitude of the deformations, 0 to 0.5.
        batch: samples a step, of all processes together.
        config: what the views are made of and what to do about small photographs.
        seed: of the run, >= 0.
        stream: tells apart the stages of a run, >= 0.
        device: where the views are made.
        resident: keep the photographs there; None: on a GPU, when they fit into a quarter of its
            free memory.

    Attributes:
        window: side of the square around a patch that its views may show, px.
        small: names of the photographs left out because they are smaller than that.

    Raises:
        InputError: photographs are too small (all, or with `small: error` the first is named).
    """

    def __init__(
        self,
        photographs: Photographs,
        *,
        field: float,
        patch: int,
        amplitude: float,
        batch: int,
        config: PatchConfig | None = None,
        seed: int = 0,
        stream: int = 0,
        device: torch.device | str = "cpu",
        resident: bool | None = None,
    ) -> None:
        if batch < 1:
            raise InputError(f"a batch has at least 1 sample, found {batch}.")
        self.config = config or PatchConfig()
        self.field, self.patch, self.amplitude = field, patch, amplitude
        self.batch, self.seed, self.stream = batch, seed, stream
        self.device = torch.device(device)
        deform = self.config.deform
        self.margin = margin(patch, field=field, amplitude=amplitude, config=deform)
        self.window = patch + 2 * self.margin
        self.photographs, self.small = _large_enough(photographs, self.window, self.config.small)
        self.pixels = self._resident_pixels(resident)

    def _resident_pixels(self, resident: bool | None) -> Tensor | None:
        """Copy the photographs to the device if they are to be there; stages share the copy."""
        if resident is None and self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            there = str(self.device) in self.photographs.copies
            resident = there or len(self.photographs.pixels) <= _RESIDENT * free
        return self.photographs.pixels_on(self.device) if resident else None

    def describe(self) -> str:
        """Say what the patches are cut from, and what was left out."""
        text = f"{self.patch} px patches of {self.photographs.describe()}"
        if self.small:
            more = ", …" if len(self.small) > 5 else ""
            text += (
                f"; {len(self.small):,} smaller than the {self.window} px that the deformations "
                f"need skipped ({', '.join(self.small[:5])}{more})"
            )
        return text

    def order(self, step: int) -> np.ndarray:
        """Which photograph each sample of a step is of: int64 (batch,)."""
        n = len(self.photographs)
        if self.batch <= n:
            epoch, place = divmod(step, n // self.batch)
            order = _order(self.seed, self.stream, epoch, n)
            return order[place * self.batch : (place + 1) * self.batch]
        rounds = -(-self.batch // n)
        orders = [_order(self.seed, self.stream, step * rounds + r, n) for r in range(rounds)]
        return np.concatenate(orders)[: self.batch]

    def places(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Photograph, row and column where each window begins: int64 (batch,) each."""
        image = self.order(step)
        uniform = generator_at(self.seed, step, PLACE, self.stream).random((self.batch, 2))
        rows, columns = self.photographs.heights[image], self.photographs.widths[image]
        room = np.stack([rows, columns], 1) - self.window + 1
        corner = (uniform * room).astype(np.int64)
        return image, corner[:, 0], corner[:, 1]

    def views(self, step: int, *, rank: int = 0, world: int = 1) -> Tensor:
        """Make one process's share of a step: two views of each of its samples.

        Returns:
            float32 (2, B, 3, P, P) on the device, channels last: `first, second = views(step)`.
            `flatten(0, 1)` is one batch of both, without a copy.
        """
        mine = share_of(self.batch, rank, world)
        count, photometry = mine.stop - mine.start, self.config.photometry
        out = torch.empty(
            (2 * count, 3, self.patch, self.patch),
            device=self.device,
            memory_format=torch.channels_last,
        )
        views = out.view(2, count, 3, self.patch, self.patch)
        lights = self._light(step)
        for part, patches in self._deformed(step, mine):
            at = slice(part.start - mine.start, part.stop - mine.start)
            patches, factor = standardize(relight(patches, lights[part], photometry), photometry)
            for view in range(2):
                seen = patches[:, :, view].expand(-1, 3, -1, -1)
                if factor is None:
                    views[view, at] = seen
                else:
                    torch.mul(seen, factor[:, :, view], out=views[view, at])
        return views

    def pairs(self, count: int, step: int = 0, *, photometric: bool = False) -> np.ndarray:
        """Return the first pairs of a step as pictures for people to look at.

        Args:
            count: number of pairs, from 1 to a batch.
            step: which step's.
            photometric: with gains, offsets and noise, clipped to what a picture can show;
                else the deformations alone.

        Returns:
            uint8 (count, 2, P, P, 3).
        """
        shown = self.config.photometry.model_copy(update={"center": False})
        lights, out = self._light(step), []
        for part, patches in self._deformed(step, slice(0, min(count, self.batch))):
            if photometric:
                patches = relight(patches, lights[part], shown).mul_(255)
            patches = patches.expand(-1, 3, -1, -1, -1).permute(0, 2, 3, 4, 1)
            out.append(patches.round().clamp_(0, 255).to(torch.uint8).cpu().numpy())
        return np.concatenate(out)

    def _light(self, step: int) -> Light:
        return light(
            self.batch,
            self.patch,
            self.config.photometry,
            seed=self.seed,
            step=step,
            stream=self.stream,
            device=self.device,
        )

    def _deformed(self, step: int, samples: slice) -> Iterator[tuple[slice, Tensor]]:
        """Make both views of some samples of a step, before light and contrast, part by part.

        Yields:
            Which samples, and float32 (N, C, 2, P, P) on the scale of [0, 255].
        """
        deform = deformation(
            self.batch,
            field=self.field,
            amplitude=self.amplitude,
            config=self.config.deform,
            seed=self.seed,
            step=step,
            stream=self.stream,
        )
        places = self.places(step)
        some = self.batch  # on a GPU all at once; on a CPU as many as its caches hold
        if self.device.type == "cpu":
            some = torch.get_num_threads() * max(1, _CHUNK // (3 * self.window**2))
        for start in range(samples.start, samples.stop, some):
            part = slice(start, min(start + some, samples.stop))
            windows = self._windows(*(values[part] for values in places)).float()
            if self.config.photometry.gray:
                windows = to_gray(windows)
            if self.amplitude == 0:  # the window is the patch: nothing to resample
                yield part, windows[:, :, None].repeat(1, 1, 2, 1, 1)
                continue
            matrix = torch.from_numpy(deform.matrix[part]).to(self.device)
            warp = None
            if deform.warp is not None:
                warp = torch.from_numpy(deform.warp[part]).to(self.device)
            yield part, resample(windows, matrix, self.patch, warp)

    def _windows(self, image: np.ndarray, row: np.ndarray, column: np.ndarray) -> Tensor:
        """Copy the windows: uint8 (N, 3, S, S) on the device."""
        size, images = self.window, self.photographs
        if self.pixels is None:
            # Copying rows is twenty times faster than an index for each pixel.
            out = np.empty((len(image), 3, size, size), dtype=np.uint8)
            for i, (k, y, x) in enumerate(zip(image, row, column, strict=True)):
                out[i] = images.planes(k)[:, y : y + size, x : x + size]
            return torch.from_numpy(out).to(self.device)
        width, plane = images.widths[image], images.heights[image] * images.widths[image]
        first = images.offsets[image] + row * width + column
        start, width, plane = (
            torch.from_numpy(values).to(self.device)[:, None, None, None]
            for values in (first, width, plane)
        )
        along = torch.arange(size, device=self.device)
        channel = torch.arange(3, device=self.device)[:, None, None]
        return self.pixels[start + channel * plane + along[:, None] * width + along]


def _large_enough(
    photographs: Photographs, window: int, policy: str
) -> tuple[Photographs, tuple[str, ...]]:
    """Return the photographs that hold a window, and the names of those that do not."""
    if not len(photographs):
        raise InputError("no photographs to cut patches from. Add some, or hold fewer out.")
    sides = np.minimum(photographs.heights, photographs.widths)
    small = np.flatnonzero(sides < window)
    if small.size == 0:
        return photographs, ()
    largest = int(sides.argmax())
    if small.size == len(photographs):
        raise InputError(
            f"all {len(photographs)} photographs are too small: a patch and its largest "
            f"deformation need {window} px on the shorter side, and the largest, "
            f"{photographs.names[largest]}, has {sides[largest]}. Use larger photographs, raise "
            "max_side, or use smaller patches or a smaller amplitude."
        )
    names = tuple(photographs.names[i] for i in small)
    if policy == "error":
        raise InputError(
            f"{len(names)} of {len(photographs)} photographs are smaller than the {window} px that "
            f"a patch and its largest deformation need: {', '.join(names[:5])}. Leave them out, or "
            "set small: skip."
        )
    return photographs.subset(np.flatnonzero(sides >= window)), names


@lru_cache(maxsize=8)
def _order(seed: int, stream: int, epoch: int, n: int) -> np.ndarray:
    """One order of n photographs; kept, as every step of an epoch asks for it."""
    order = generator_at(seed, epoch, ORDER, stream).permutation(n)
    order.flags.writeable = False
    return order
