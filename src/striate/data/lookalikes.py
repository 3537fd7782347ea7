"""Near-duplicates: re-encoded or resized copies of a picture, which a hash of pixels cannot see.

They are only ever named, never joined: that two pictures are one is for their owner to say.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 16
"""Thumbnails are SIDE x SIDE pixels."""
FLAT = 6.0
"""A thumbnail whose grey varies less (standard deviation, of 255) has nothing to tell it by: that
of an even area, of noise, of a fine grating or texture."""
MARGIN = 2.0
"""Grey levels by which neighbours must differ; without it noise decides in uniform areas."""
MOST_BITS = 8
"""Largest Hamming distance, of 64 bits, of two pictures that are compared closely."""
ALIKE = 0.1
"""Largest difference (root mean square) of near-duplicates, as a share of the contrast.

At most 2 in 100 copies of photographs (BSDS500; JPEG of quality 50, a third of the size) differ
more; the most similar different pictures (macaque V4: one landscape, another animal) by 0.13."""
BLOCK = 1024
"""Pictures compared with all others at a time."""


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """Shrink uint8 RGB (H, W, 3) of any size to (SIDE, SIDE, 3), ignoring the aspect ratio."""
    # Rough first, then fine: three times as fast, and copies of another size still agree.
    small = Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.array(small)


def near_duplicates(first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """Find the pairs of thumbnails that are one picture, as far as one can see.

    A difference hash (is a place brighter than its right neighbour?) finds candidates; they are
    near-duplicates where colours agree too, everywhere. Flat pictures are never called alike.

    Args:
        first: uint8 (N, SIDE, SIDE, 3), as `thumbnail` gives them.
        second: uint8 (M, SIDE, SIDE, 3); None compares `first` with itself.

    Returns:
        Positions in `first` and `second`, int64 (n_pairs, 2), ascending; each pair once.
    """
    alone, second = second is None, first if second is None else second
    contrasts, hashes = (_contrast(first), _contrast(second)), (_hash(first), _hash(second))
    candidates = np.flatnonzero(contrasts[1] >= FLAT)
    pairs = [np.empty((0, 2), np.int64)]
    rows = np.flatnonzero(contrasts[0] >= FLAT)
    for block in np.split(rows, range(BLOCK, len(rows), BLOCK)):
        distance = np.bitwise_count(hashes[0][block, None] ^ hashes[1][candidates])
        i, j = np.nonzero(distance <= MOST_BITS)
        i, j = block[i], candidates[j]
        if alone:
            i, j = i[i < j], j[i < j]
        for k in np.split(np.arange(len(i)), range(BLOCK, len(i), BLOCK)):
            # int16 holds every difference of two bytes
            apart = np.subtract(first[i[k]], second[j[k]], dtype=np.int16).astype(np.float32)
            contrast = np.minimum(contrasts[0][i[k]], contrasts[1][j[k]])
            same = np.sqrt((apart**2).mean(axis=(1, 2, 3))) <= ALIKE * contrast
            pairs.append(np.stack([i[k][same], j[k][same]], axis=1))
    return np.concatenate(pairs)


def _contrast(thumbnails: np.ndarray) -> np.ndarray:
    """Standard deviation of grey, float64 (N,)."""
    return thumbnails.mean(axis=3).std(axis=(1, 2))


def _hash(thumbnails: np.ndarray) -> np.ndarray:
    """Difference hash, uint64 (N,): 8 x 8 places, each compared with its right neighbour."""
    n, half = len(thumbnails), SIDE // 2
    grey = thumbnails.reshape(n, half, 2, half, 2, 3).mean(axis=(2, 4, 5))
    bits = np.roll(grey, -1, axis=2) > grey + MARGIN
    return np.packbits(bits.reshape(n, half * half), axis=1).view(np.uint64)[:, 0]
