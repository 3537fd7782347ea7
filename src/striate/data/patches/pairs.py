"""Pairs of deformed patches of photographs, on which a stage is grown."""

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

PLACE, ORDER = 5, 6
"""Kinds of random draws (see `core.draws`). The order of an epoch is drawn by the number of the
epoch instead of the step."""
_CHUNK_VALUES = 2**20
"""Values of windows that a thread handles at once on a CPU: 4 MB, which stay in its cache. With
fewer values threads would wait for each other more often, which is slow on a busy core."""
_RESIDENT_SHARE = 0.25
"""Largest share of a GPU's free memory that the photographs may occupy."""


class PatchConfig(Config):
    """How to read photographs and make patches; all defaults are ours (docs/papers/lcl-v2.md 7)."""

    max_side: int | None = Field(MAX_SIDE, gt=0)
    """Shrink photographs whose longer side exceeds this; None shrinks none."""
    unreadable: Literal["error", "skip"] = "error"
    """What to do about a damaged file."""
    small: Literal["error", "skip"] = "skip"
    """What to do about a photograph too small for a patch and its largest deformation."""
    held_out: float = Field(HELD_OUT, ge=0, lt=1)
    """Share of the photographs held out of training, chosen by content."""
    in_memory: bool = False
    """Read all pixels at the start instead of mapping their file."""
    deform: DeformConfig = DeformConfig()
    photometry: PhotometryConfig = PhotometryConfig()


def read_photographs(
    folders: str | Path | Sequence[str | Path], config: PatchConfig, cache: Cache | None = None
) -> Photographs:
    """Read all photographs below the folders as the config says.

    Raises:
        InputError: see `Photographs.from_folders`.
    """
    return Photographs.from_folders(
        folders,
        max_side=config.max_side,
        skip_unreadable=config.unreadable == "skip",
        in_memory=config.in_memory,
        cache=cache,
    )


class PatchSource:
    """Pairs of views of patches of photographs, for one stage.

    A sample is a position in a photograph, drawn uniformly from all positions from which no view
    can reach beyond the edge. Each view of it has one deformation and one change of light
    (`deformation.deformation`, `photometry.light`) and is resampled once from the photograph. All
    random draws depend only on the seed, the stream, the step and the position in the whole batch,
    so any number of processes and a resumed run see the same samples.

    The samples of a batch are from different photographs. An epoch is an order of all photographs
    cut into whole batches (the rest of the order is not used). A batch that is larger than the
    number of photographs is filled with several orders, so that the counts of any two photographs
    in it differ by one at most.

    Args:
        photographs: photographs to cut patches from.
        field: receptive field of the stage, px.
        patch: side of a patch, px.
        amplitude: relative amplitude of the deformations, 0 to 0.5.
        batch: number of samples per step, of all processes together.
        config: how views are made, and what to do about small photographs.
        seed: seed of the run, >= 0.
        stream: number of the stage within the run, >= 0; each has its own draws.
        device: device on which the views are made.
        resident: keep the photographs on the device; None: on a GPU if they fit into a quarter of
            its free memory.

    Attributes:
        window: side of the square around a patch that its views may show, px.
        small: names of the photographs left out because they are smaller than the window.

    Raises:
        InputError: all photographs are too small, or with `small: error` any of them is.
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
        self.photographs, self.small = _select_large(photographs, self.window, self.config.small)
        self.pixels = self._copy_pixels(resident)

    def _copy_pixels(self, resident: bool | None) -> Tensor | None:
        """Copy the photographs to the device if they are to be resident; stages share the copy."""
        if resident is None and self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            is_copied = str(self.device) in self.photographs.copies
            resident = is_copied or len(self.photographs.pixels) <= _RESIDENT_SHARE * free
        return self.photographs.pixels_on(self.device) if resident else None

    def describe(self) -> str:
        """Describe the photographs that patches are cut from, and those left out."""
        text = f"{self.patch} px patches of {self.photographs.describe()}"
        if self.small:
            more = ", …" if len(self.small) > 5 else ""
            text += (
                f"; {len(self.small):,} smaller than the {self.window} px that the deformations "
                f"need skipped ({', '.join(self.small[:5])}{more})"
            )
        return text

    def order(self, step: int) -> np.ndarray:
        """Return the number of each sample's photograph in a step, int64 (batch,)."""
        n = len(self.photographs)
        if self.batch <= n:
            epoch, place = divmod(step, n // self.batch)
            order = _draw_order(self.seed, self.stream, epoch, n)
            return order[place * self.batch : (place + 1) * self.batch]
        rounds = -(-self.batch // n)
        orders = [_draw_order(self.seed, self.stream, step * rounds + r, n) for r in range(rounds)]
        return np.concatenate(orders)[: self.batch]

    def places(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return photograph, first row and first column of each window, int64 (batch,) each."""
        image = self.order(step)
        uniform = generator_at(self.seed, step, PLACE, self.stream).random((self.batch, 2))
        rows, columns = self.photographs.heights[image], self.photographs.widths[image]
        room = np.stack([rows, columns], 1) - self.window + 1
        corner = (uniform * room).astype(np.int64)
        return image, corner[:, 0], corner[:, 1]

    def views(self, step: int, *, rank: int = 0, world: int = 1) -> Tensor:
        """Make two views of each sample in one process's share of a step.

        Returns:
            float32 (2, B, 3, P, P) on the device, channels last: `first, second = views(step)`.
            `flatten(0, 1)` joins both into one batch without a copy.
        """
        share = share_of(self.batch, rank, world)
        count, photometry = share.stop - share.start, self.config.photometry
        out = torch.empty(
            (2 * count, 3, self.patch, self.patch),
            device=self.device,
            memory_format=torch.channels_last,
        )
        views = out.view(2, count, 3, self.patch, self.patch)
        lights = self._draw_light(step)
        for part, patches in self._deform_samples(step, share):
            rows = slice(part.start - share.start, part.stop - share.start)
            patches, factor = standardize(relight(patches, lights[part], photometry), photometry)
            for view in range(2):
                view_patches = patches[:, :, view].expand(-1, 3, -1, -1)
                if factor is None:
                    views[view, rows] = view_patches
                else:
                    torch.mul(view_patches, factor[:, :, view], out=views[view, rows])
        return views

    def pairs(self, count: int, step: int = 0, *, photometric: bool = False) -> np.ndarray:
        """Return the first pairs of a step as pictures for people to look at.

        Args:
            count: number of pairs, from 1 to a batch.
            step: number of the step.
            photometric: add gains, offsets and noise, clipped to the range of pictures; else show
                the deformations alone.

        Returns:
            uint8 (count, 2, P, P, 3).
        """
        shown = self.config.photometry.model_copy(update={"center": False})
        lights, out = self._draw_light(step), []
        for part, patches in self._deform_samples(step, slice(0, min(count, self.batch))):
            if photometric:
                patches = relight(patches, lights[part], shown).mul_(255)
            patches = patches.expand(-1, 3, -1, -1, -1).permute(0, 2, 3, 4, 1)
            out.append(patches.round().clamp_(0, 255).to(torch.uint8).cpu().numpy())
        return np.concatenate(out)

    def _draw_light(self, step: int) -> Light:
        """Draw the changes of light of a whole batch."""
        return light(
            self.batch,
            self.patch,
            self.config.photometry,
            seed=self.seed,
            step=step,
            stream=self.stream,
            device=self.device,
        )

    def _deform_samples(self, step: int, samples: slice) -> Iterator[tuple[slice, Tensor]]:
        """Make both views of some samples of a step, before light and contrast, in chunks.

        Yields:
            The samples of a chunk, and their views, float32 (N, C, 2, P, P) from 0 to 255.
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
        chunk = self.batch  # a GPU takes all at once, a CPU as many as its caches hold
        if self.device.type == "cpu":
            chunk = torch.get_num_threads() * max(1, _CHUNK_VALUES // (3 * self.window**2))
        for start in range(samples.start, samples.stop, chunk):
            part = slice(start, min(start + chunk, samples.stop))
            windows = self._cut_windows(*(values[part] for values in places)).float()
            if self.config.photometry.gray:
                windows = to_gray(windows)
            if self.amplitude == 0:  # the window is the patch, so there is nothing to resample
                yield part, windows[:, :, None].repeat(1, 1, 2, 1, 1)
                continue
            matrix = torch.from_numpy(deform.matrix[part]).to(self.device)
            warp = None
            if deform.warp is not None:
                warp = torch.from_numpy(deform.warp[part]).to(self.device)
            yield part, resample(windows, matrix, self.patch, warp)

    def _cut_windows(self, image: np.ndarray, row: np.ndarray, column: np.ndarray) -> Tensor:
        """Cut out the windows, uint8 (N, 3, S, S) on the device."""
        size, images = self.window, self.photographs
        if self.pixels is None:
            # Copying rows is twenty times faster than indexing pixels.
            out = np.empty((len(image), 3, size, size), dtype=np.uint8)
            for i, (number, top, left) in enumerate(zip(image, row, column, strict=True)):
                out[i] = images.planes(number)[:, top : top + size, left : left + size]
            return torch.from_numpy(out).to(self.device)
        width, plane = images.widths[image], images.heights[image] * images.widths[image]
        first = images.offsets[image] + row * width + column
        start, width, plane = (
            torch.from_numpy(values).to(self.device)[:, None, None, None]
            for values in (first, width, plane)
        )
        steps = torch.arange(size, device=self.device)
        channel = torch.arange(3, device=self.device)[:, None, None]
        return self.pixels[start + channel * plane + steps[:, None] * width + steps]


def _select_large(
    photographs: Photographs, window: int, policy: str
) -> tuple[Photographs, tuple[str, ...]]:
    """Select the photographs that are as large as a window; return also the names of the others."""
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
def _draw_order(seed: int, stream: int, epoch: int, n: int) -> np.ndarray:
    """Draw one order of n photographs; it is cached, as every step of an epoch needs it."""
    order = generator_at(seed, epoch, ORDER, stream).permutation(n)
    order.flags.writeable = False
    return order
