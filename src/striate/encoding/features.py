"""Features of all taps in one pass over the images, projected, cached and kept on disk."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.core.files import explain_os_error
from striate.core.hashing import hash_array, hash_json
from striate.encoding.projection import (
    BLOCK_VALUES,
    GRAM_ROWS,
    ProjectionConfig,
    SparseProjection,
    pca,
    pca_size,
    pooled,
)
from striate.models import Model, evaluating

VERSION = 1
"""Raised when the meaning of a cached feature changes, so that old entries are not found."""


@dataclass(frozen=True)
class Cost:
    """What extracting features will take at most.

    Attributes:
        memory: bytes of memory beside the network's own.
        scratch: bytes of disk used while it runs.
        kept: bytes of disk that the features take.
    """

    memory: int
    scratch: int
    kept: int

    def __str__(self) -> str:
        return (
            f"at most {self.memory / 1e9:.2f} GB of memory, {self.scratch / 1e9:.2f} GB of scratch "
            f"disk, {self.kept / 1e9:.3f} GB kept"
        )


def predict_cost(
    model: Model,
    n_images: int,
    n_fit: int,
    projection: ProjectionConfig,
    taps: Sequence[str] | None = None,
    batch_size: int = 64,
) -> Cost:
    """Predict what `extract` takes, from the shapes of the taps."""
    sizes = _sizes(model, taps or model.taps, projection)
    widths = {t: _width(projection, d, n_fit) for t, d in sizes.items()}
    # A batch's activations with their copies, the network's own largest maps, a block of work.
    memory = 6 * 4 * batch_size * sum(sizes.values()) + 200 * 2**20
    if projection.kind == "pca" and sizes:
        d = max(sizes.values())
        k = max(widths.values())
        square = 8 * n_fit**2 * 4 if n_fit <= GRAM_ROWS else 8 * 4 * k * n_fit
        memory += square + 3 * 4 * d * k + 6 * 4 * BLOCK_VALUES
    scratch = 4 * n_images * sum(sizes.values()) if projection.kind == "pca" else 0
    return Cost(memory, scratch, 4 * n_images * sum(widths.values()))


def extract(
    model: Model,
    images: np.ndarray,
    hashes: Sequence[str],
    *,
    taps: Sequence[str] | None = None,
    projection: ProjectionConfig | None = None,
    fit: np.ndarray | None = None,
    cache: Cache | None = None,
    batch_size: int = 64,
    device: str = "auto",
    precision: str = "32",
    progress: bool = True,
) -> dict[str, np.ndarray]:
    """Return each tap's projected features as a read-only memory map (N, k), float32.

    One pass over the images serves every tap that is not in the cache. A cache entry is found by
    the weights, preprocessing, image contents, tap, projection and fitted rows that made it, so
    a stale one cannot be.

    Args:
        model: the network; it is in eval mode while this runs, and restored after.
        images: uint8 (N, H, W, 3), may be a memory map.
        hashes: content hash of each image.
        taps: module paths; default the model's.
        projection: default PCA to 1000 components.
        fit: positions of the images that a PCA is fitted on, never test stimuli; default all.
        cache: where the features lie.
        batch_size: images a forward pass.
        device: `auto`, `cpu`, `cuda` …
        precision: `32`, or `bf16` for autocast.
        progress: draw a progress bar.

    Raises:
        InputError: numbers that do not fit, unknown tap, activations that are not finite.
    """
    projection, cache = projection or ProjectionConfig(), cache or Cache()
    taps = tuple(taps or model.taps)
    if len(images) != len(hashes):
        raise InputError(f"{len(images)} images for {len(hashes)} content hashes.")
    if precision not in ("32", "bf16"):
        raise InputError(f"precision {precision!r}: expected '32' or 'bf16'.")
    fit = np.arange(len(images)) if fit is None else np.unique(fit)
    order = np.concatenate([fit, np.setdiff1d(np.arange(len(images)), fit)])
    shared = {
        "model": model.fingerprint(),
        "images": hash_json(list(hashes)),
        "input": [list(images.shape[1:]), str(images.dtype)],
        "projection": projection.model_dump(),
        "fit": hash_array(fit) if projection.kind == "pca" else "",
        "precision": precision,
        "version": VERSION,
    }
    keys = {tap: {**shared, "tap": tap} for tap in taps}
    absent = [t for t in taps if not cache.path("features", keys[t]).is_dir()]
    if absent:
        try:
            with tempfile.TemporaryDirectory(dir=_scratch(cache)) as scratch:
                files = _one_pass(
                    model,
                    images,
                    order,
                    absent,
                    projection,
                    Path(scratch),
                    batch_size=batch_size,
                    device=device,
                    precision=precision,
                    progress=progress,
                )
                for tap in absent:
                    entry = _Entry(files[tap], order, len(fit), projection)
                    cache.get("features", keys[tap], entry.write)
                    files[tap].unlink()
        except OSError as error:
            raise explain_os_error(error, cache.root) from error
    return {
        tap: np.load(cache.path("features", keys[tap]) / "features.npy", mmap_mode="r")
        for tap in taps
    }


@dataclass(frozen=True)
class _Entry:
    """One tap's scratch file, ready to become a cache entry."""

    file: Path
    order: np.ndarray
    n_fit: int
    projection: ProjectionConfig

    def write(self, folder: Path) -> None:
        raw = np.load(self.file, mmap_mode="r+")
        n, d = raw.shape
        if self.projection.kind == "pca":
            k = pca_size(self.projection.components, self.n_fit, d)
            scores = np.empty((n, k), dtype=np.float32)
            pca(raw, self.n_fit, k, self.projection.seed, scores)
        else:
            scores = raw
        out = np.lib.format.open_memmap(
            folder / "features.npy", "w+", np.float32, (n, scores.shape[1])
        )
        out[self.order] = scores
        out.flush()


def _scratch(cache: Cache) -> Path:
    folder = cache.root / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _one_pass(
    model: Model,
    images: np.ndarray,
    order: np.ndarray,
    taps: Sequence[str],
    projection: ProjectionConfig,
    scratch: Path,
    *,
    batch_size: int,
    device: str,
    precision: str,
    progress: bool,
) -> dict[str, Path]:
    """Write every tap's rows, in the given order, to a scratch `.npy` each."""
    sizes = _sizes(model, taps, projection)
    sketches = {
        t: SparseProjection.draw(d, projection.components, projection.seed)
        for t, d in sizes.items()
        if projection.kind == "srp" and d > projection.components
    }
    widths = {t: projection.components if t in sketches else d for t, d in sizes.items()}
    files = {t: scratch / f"{i}.npy" for i, t in enumerate(taps)}
    maps = {
        t: np.lib.format.open_memmap(files[t], "w+", np.float32, (len(images), widths[t]))
        for t in taps
    }
    starts = range(0, len(order), batch_size)
    with computing(model, device, precision) as where:
        for start in track(starts, "features", disable=not progress, transient=True):
            rows = order[start : start + batch_size]
            batch = torch.from_numpy(images[rows]).to(where)
            outputs = model.activations(batch, taps)
            for tap in taps:
                flat = pooled(outputs.pop(tap), projection.grid).float()
                if tap in sketches:
                    flat = sketches[tap](flat)
                _check_finite(flat, tap, rows)
                maps[tap][start : start + len(rows)] = flat.cpu().numpy()
    for out in maps.values():
        out.flush()
    return files


@contextlib.contextmanager
def computing(model: Model, device: str, precision: str) -> Iterator[torch.device]:
    """Eval mode, no gradients, the chosen device and precision; everything is put back after."""
    home = next(model.parameters()).device
    where = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    )
    autocast = torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16")
    model.to(where)
    try:
        with evaluating(model), torch.inference_mode(), autocast:
            yield where
    finally:
        model.to(home)


def _check_finite(flat: Tensor, tap: str, rows: np.ndarray) -> None:
    if not torch.isfinite(flat.sum()):
        bad = ~torch.isfinite(flat).all(dim=1)
        if bad.any():
            first = int(rows[int(bad.int().argmax())])
            raise InputError(
                f"tap {tap!r} gives NaN or infinity, first for the image at position {first}. "
                "Look at that image, or use precision '32'."
            )


def _sizes(model: Model, taps: Sequence[str], projection: ProjectionConfig) -> Mapping[str, int]:
    """Number of features of each tap after pooling."""
    sizes = {}
    for tap, shape in model.tap_shapes(taps).items():
        grid = projection.grid
        if grid is not None and len(shape) == 3:
            shape = (shape[0], min(grid, shape[1]), min(grid, shape[2]))
        sizes[tap] = int(np.prod(shape))
    return sizes


def _width(projection: ProjectionConfig, d: int, n_fit: int) -> int:
    if projection.kind == "none":
        return d
    if projection.kind == "srp":
        return min(projection.components, d)
    return pca_size(projection.components, n_fit, d)
