"""Features of all taps in one pass over the images, projected, cached and kept on disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.errors import InputError
from striate.core.files import explain_os_error, locked
from striate.core.hashing import hash_array, hash_json
from striate.core.progress import track_progress
from striate.encoding.projection import (
    BLOCK_VALUES,
    GRAM_ROWS,
    OVERSAMPLING,
    Pca,
    ProjectionConfig,
    SparseProjection,
    pca_size,
    pooled,
    read,
    row_blocks,
)
from striate.models import Model, evaluating
from striate.models.taps import visit_taps

VERSION = 3
"""Raised when the meaning of a cached feature changes, so that old entries are not found."""
SPARE = 200 * 2**20
"""Bytes that the libraries take for themselves (ours)."""


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
    """Predict from the shapes of the taps what `extract` takes.

    The network's own activations are counted; its weights are not.
    """
    taps = tuple(taps or model.taps)
    sizes = _count_features(model, taps, projection)
    folded = {t: projection.folded_to(d) for t, d in sizes.items()}
    widths = folded
    if projection.kind == "pca":
        widths = {t: pca_size(projection.components, n_fit, d) for t, d in folded.items()}
    d, k = max(folded.values()), max(widths.values())
    # A module's input and output, the map before and a working copy; a tap in float32.
    memory = (
        4 * batch_size * (4 * _count_largest_map(model, taps) + 2 * max(sizes.values())) + SPARE
    )
    if projection.kind == "pca":
        blocks = 6 * 4 * min(BLOCK_VALUES, n_images * d)
        if n_fit <= GRAM_ROWS:
            fitting = 8 * n_fit * (4 * n_fit + k) + 4 * d * k
        else:
            width = min(k + OVERSAMPLING, n_fit, d)
            fitting = 4 * width * (2 * d + 2 * n_fit) + 8 * 6 * width**2
        memory = max(memory, fitting + blocks + SPARE)
    scratch = 4 * n_images * sum(folded.values()) if projection.kind == "pca" else 0
    return Cost(memory, scratch, 4 * n_images * sum(widths.values()))


def extract(
    model: Model,
    images: np.ndarray,
    hashes: Sequence[str],
    *,
    taps: Sequence[str] | None = None,
    projection: ProjectionConfig | None = None,
    fit: np.ndarray | None = None,
    compute: Compute | None = None,
) -> dict[str, np.ndarray]:
    """Return each tap's projected features as a read-only memory map (N, k), float32.

    One pass over the images serves every tap that is not in the cache. A cache entry is found by
    the weights, preprocessing, image contents, tap, projection and fitted rows that made it, so
    a stale entry is never found.

    Args:
        model: the network; it is in eval mode while this runs, and restored after.
        images: uint8 (N, H, W, 3), may be a memory map.
        hashes: content hash of each image.
        taps: module paths; default the model's.
        projection: default PCA to 1000 components.
        fit: positions of the images that a PCA is fitted on, never test stimuli; default all.
        compute: device, batch size, precision, the cache in which the features are kept, and
            whether to draw a progress bar.

    Raises:
        InputError: numbers that do not fit, unknown tap, activations that are not finite.
    """
    projection, compute = projection or ProjectionConfig(), compute or Compute()
    cache, taps = compute.cache, tuple(taps or model.taps)
    _check_images(model, images, hashes)
    order, n_fit = np.arange(len(images)), 0
    shared = {
        "model": model.fingerprint(),
        "images": hash_json(list(hashes)),
        "input": _hash_pixels(images),
        "projection": projection.model_dump(),
        "precision": compute.precision,
        "version": VERSION,
    }
    if projection.kind == "pca":
        fit = _check_positions(fit, len(images))
        pca_size(projection.components, len(fit), 1)  # too few are refused before the work
        order, n_fit = np.concatenate([fit, np.setdiff1d(order, fit)]), len(fit)
        shared["fit"] = hash_array(fit)
    keys = {tap: {**shared, "tap": tap} for tap in taps}

    def find_missing() -> list[str]:
        return [tap for tap, key in keys.items() if not cache.path("features", key).is_dir()]

    if find_missing():
        # Of two processes that want the same features, one computes and the other waits.
        with (
            locked(cache.root / "features" / f"{hash_json(shared)}.lock"),
            _explain_disk_errors(cache),
        ):
            missing = find_missing()
            if missing:
                with _make_scratch(cache.root / "scratch") as scratch:
                    files = _run_pass(model, images, order, missing, projection, scratch, compute)
                    for tap in missing:
                        entry = _ScratchFile(files[tap], order, n_fit, projection)
                        cache.get("features", keys[tap], entry.write)
    return {
        tap: np.load(cache.path("features", keys[tap]) / "features.npy", mmap_mode="r")
        for tap in taps
    }


def _check_images(model: Model, images: np.ndarray, hashes: Sequence[str]) -> None:
    size = model.preprocessing.size
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
        raise InputError(
            f"{model.id} takes uint8 images of shape (N, {size}, {size}, 3), found "
            f"{images.dtype} {images.shape}. Decode them with StimulusSet.decoded({size})."
        )
    if len(images) == 0 or len(images) != len(hashes):
        raise InputError(f"{len(images)} images for {len(hashes)} content hashes.")


def _check_positions(fit: np.ndarray | None, n: int) -> np.ndarray:
    """Check the positions that a PCA is fitted on; return them sorted, each once."""
    if fit is None:
        return np.arange(n)
    fit = np.asarray(fit)
    if fit.ndim != 1 or (fit.size and not np.issubdtype(fit.dtype, np.integer)):
        raise InputError(f"fit: expected whole positions, found {fit.dtype} {fit.shape}.")
    fit = np.unique(fit).astype(np.int64)
    if fit.size and (fit[0] < 0 or fit[-1] >= n):
        raise InputError(f"fit: positions {fit[0]} to {fit[-1]} are not all among {n} images.")
    return fit


def _hash_pixels(images: np.ndarray) -> str:
    """Hash the images as decoded: one stimulus can be cut or resized in more ways than one."""
    digest = hashlib.sha256(f"{images.shape}|".encode())
    for rows in row_blocks(len(images), int(np.prod(images.shape[1:]))):
        digest.update(read(images, rows).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _explain_disk_errors(cache: Cache) -> Iterator[None]:
    """Say what to do about a full or unwritable disk."""
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, cache.root) from error


@contextlib.contextmanager
def _make_scratch(root: Path) -> Iterator[Path]:
    """Make a folder that is removed afterwards, as is first what killed processes left."""
    with locked(root / "lock"):
        for old in root.iterdir():
            if old.is_dir() and not _is_held(old):
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=root))
        handle = (folder / "held").open("w")
        fcntl.flock(handle, fcntl.LOCK_EX)  # ends with the process, however that dies
    with handle:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _is_held(folder: Path) -> bool:
    """Say whether a living process uses a scratch folder."""
    with contextlib.suppress(FileNotFoundError), (folder / "held").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@dataclass(frozen=True)
class _ScratchFile:
    """One tap's scratch file, ready to become a cache entry."""

    file: Path
    order: np.ndarray
    n_fit: int
    projection: ProjectionConfig

    def write(self, folder: Path) -> None:
        """Move the rows into `folder`; those of a PCA in the images' order, a block at a time."""
        path = folder / "features.npy"
        if self.projection.kind != "pca":
            self.file.rename(path)
            return
        raw = np.load(self.file, mmap_mode="r")
        n, d = raw.shape
        pca = Pca.fit(raw, self.n_fit, self.projection.components, self.projection.seed)
        place = np.argsort(self.order)
        with _write_npy(path, n, pca.loadings.shape[1]) as out:
            for rows in row_blocks(n, d):
                out(pca(read(raw, place[rows])))
        self.file.unlink()


@contextlib.contextmanager
def _write_npy(
    path: Path, n: int, width: int, keep: bool = True
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a float32 `.npy` row by row. Unlike with a memory map, a full disk is an error here.

    With `keep` the rows have reached the disk at the end.
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": (n, width)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)

        def write(rows: np.ndarray) -> None:
            file.write(np.ascontiguousarray(rows, dtype="<f4").data)

        yield write
        if keep:
            file.flush()
            os.fsync(file.fileno())


def _run_pass(
    model: Model,
    images: np.ndarray,
    order: np.ndarray,
    taps: Sequence[str],
    projection: ProjectionConfig,
    scratch: Path,
    compute: Compute,
) -> dict[str, Path]:
    """Write every tap's rows, in the given order, to a scratch `.npy` each."""
    sizes = _count_features(model, taps, projection)
    widths = {t: projection.folded_to(d) for t, d in sizes.items()}
    files = {t: scratch / f"{i}.npy" for i, t in enumerate(taps)}
    starts = range(0, len(order), compute.batch_size)
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(computing(model, compute))
        keep = projection.kind != "pca"
        write = {
            t: stack.enter_context(_write_npy(files[t], len(order), widths[t], keep)) for t in taps
        }
        sketches = {
            t: SparseProjection.draw(d, widths[t], projection.seed).to(where)
            for t, d in sizes.items()
            if widths[t] < d
        }
        for start in track_progress(starts, "features", shown=compute.progress):
            rows = order[start : start + compute.batch_size]

            def visit(tap: str, output: Tensor, rows: np.ndarray = rows) -> None:
                flat = pooled(output, projection.grid)
                flat = sketches[tap](flat) if tap in sketches else flat.float()
                _check_finite(flat, tap, rows)
                write[tap](flat.cpu().numpy())

            batch = model.preprocessing(torch.from_numpy(read(images, rows)).to(where))
            visit_taps(model.network, batch, taps, visit)
    return files


@contextlib.contextmanager
def computing(model: Model, compute: Compute) -> Iterator[torch.device]:
    """Set eval mode, no gradients, device and precision; put everything back afterwards."""
    home, device = model.device, compute.device
    try:
        where = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        )
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used here: {error}.") from error
    autocast = torch.autocast(where.type, torch.bfloat16, enabled=compute.precision == "bf16")
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


def _count_features(
    model: Model, taps: Sequence[str], projection: ProjectionConfig
) -> Mapping[str, int]:
    """Count the features of each tap after pooling."""
    sizes = {}
    for tap, shape in model.tap_shapes(taps).items():
        grid = projection.grid
        if grid is not None and len(shape) == 3:
            shape = (shape[0], min(grid, shape[1]), min(grid, shape[2]))
        sizes[tap] = int(np.prod(shape))
    return sizes


def _count_largest_map(model: Model, taps: Sequence[str]) -> int:
    """Count the values of the largest map on the way to the taps, for one image."""
    largest = 0

    def hook(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())

    handles = [m.register_forward_hook(hook) for m in model.network.modules()]
    try:
        model.tap_shapes(taps)
    finally:
        for handle in handles:
            handle.remove()
    return largest
