"""Content hashes: of bytes, arrays, tensors and JSON-able values. SHA-256 throughout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def hash_json(value: Any) -> str:
    """Hash a JSON-able value; key order does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: str | Path) -> str:
    """Hash a file's bytes."""
    with Path(path).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def hash_bytes(data: bytes) -> str:
    """Hash bytes: equal to `hash_file` of the file that holds them."""
    return hashlib.sha256(data).hexdigest()


def hash_array(array: np.ndarray) -> str:
    """Hash an array's dtype, shape and values (C order)."""
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}|".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()


def hash_image(rgb: np.ndarray) -> str:
    """Hash a decoded image, uint8 of shape (H, W, 3): the identity of a stimulus in a split.

    It hashes the pixels, not the file, so the same picture saved twice is one stimulus.
    """
    height, width, channels = rgb.shape
    digest = hashlib.sha256(f"{height},{width},{channels}|".encode())
    digest.update(np.ascontiguousarray(rgb).tobytes())
    return digest.hexdigest()


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hash named tensors (a state dict): names, dtypes, shapes and values."""
    import torch  # here, because the core is also imported where nothing is computed

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def hash_fraction(seed: int, content_hash: str) -> float:
    """Map a content hash to a number in [0, 1), fixed by the seed.

    The part of a split that a stimulus falls into depends on nothing else, so it is the same in
    every subject, session and run with that seed.
    """
    digest = hashlib.sha256(f"{seed}:{content_hash}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
