"""Near-duplicates: re-encoded or resized copies of a picture, which a hash of pixels cannot see.

A split keeps them in one part, as it keeps exact copies (`striate.data.responses.bundles`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 16
"""Thumbnails are SIDE x SIDE pixels."""
FLAT = 6.0
"""A thumbnail whose gray varies less (standard deviation, of 255) has nothing to tell it by: that
of an even area, of noise, of a fine grating or texture."""
MARGIN = 2.0
"""Gray levels by which neighbors must differ; without it noise decides in uniform areas."""
MOST_BITS = 8
"""Largest Hamming distance, of 64 bits, of two pictures that are compared closely."""
ALIKE = 0.1
"""Largest difference of gray (root mean square) of near-duplicates, as a share of the contrast.

Measured on 500 photographs of BSDS500 (one is flat) and 500 of ImageNet, copied as JPEG of quality
30, 50, 75 and 95: all are found; at half the size and quality 75: 497 and 495. Shrunk to 128 pixels
before: 497, 499, 499, 499 and all of ImageNet's; to 64 pixels: 472, 493, 499, 499 and 497, 498,
500, 500. No wrong pair in any of these, none within either set, and one pair in macaque V4 (7,738
pictures), which is one picture, seen in two sessions. The most similar different pictures there
(one landscape, another animal) differ by 0.13. Crops and mirror images are not found."""
ALIKE_COLOR = 0.25
"""The same for colors, less gray: of small pictures JPEG keeps them at half the resolution."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601), as JPEG has it."""
CHAIN = 0.05
"""Largest share of the pictures that a chain of look-alikes may hold before it is cut."""
FEW = 10
"""A chain of so few pictures is never cut."""
BLOCK = 1024
"""Pictures compared with all others at a time, at most."""
LARGEST = 2**24
"""Pairs compared at a time, at most: eight bytes each."""


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """Shrink uint8 RGB (H, W, 3) of any size to (SIDE, SIDE, 3), ignoring the aspect ratio."""
    # Rough first, then fine: three times as fast, and copies of another size still agree.
    small = Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.array(small)


def near_duplicates(first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """Find the pairs of thumbnails that are one picture, as far as one can see.

    A difference hash (is a place brighter than its right neighbor?) finds candidates; they are
    near-duplicates where colors agree too, everywhere. Flat pictures are never called alike.

    Args:
        first: uint8 (N, SIDE, SIDE, 3), as `thumbnail` gives them.
        second: uint8 (M, SIDE, SIDE, 3); None compares `first` with itself.

    Returns:
        Positions in `first` and `second`, int64 (n_pairs, 2), ascending; each pair once.
    """
    return _compare(first, second)[0]


@dataclass(frozen=True)
class Alike:
    """Which pictures look like one another.

    Attributes:
        chains: int64 (N,), a number for all that are linked by look-alikes of look-alikes; -1 for
            a picture that looks like no other.
        classes: the same, with long chains cut into pieces.
    """

    chains: np.ndarray
    classes: np.ndarray


def find_classes(thumbnails: np.ndarray, largest: float = CHAIN) -> Alike:
    """Put pictures that look alike into classes, and what looks like one of them as well.

    Where a looks like b and b like c, all three are one class. A long chain of these, such as a
    slow movie, could glue half a data set together: one that holds more than `largest` of the
    pictures (and more than `FEW`), and in which not all look like all others, is cut into pieces
    of at most so many, the most alike joined first. Equal likenesses go by position.

    Args:
        thumbnails: uint8 (N, SIDE, SIDE, 3), as `thumbnail` gives them.
        largest: share of the pictures.
    """
    n = len(thumbnails)
    pairs, apart = _compare(thumbnails)
    chains = _linked(pairs, n)
    most = int(max(FEW, largest * n))
    cut = np.isin(chains[pairs[:, 0]], _long_chains(chains, pairs, most))
    if not cut.any():
        return Alike(chains, chains)
    order = np.flatnonzero(cut)[np.lexsort((*pairs[cut].T[::-1], apart[cut]))]
    return Alike(chains, _linked(np.concatenate([pairs[~cut], _pieces(pairs[order], most)]), n))


def _pieces(pairs: np.ndarray, most: int) -> np.ndarray:
    """Those of the pairs, taken in their order, that join pieces of `most` pictures at most."""
    members = {int(i): [int(i)] for i in np.unique(pairs)}
    kept = [np.empty((0, 2), np.int64)]
    for i, j in pairs.tolist():
        one, other = members[i], members[j]
        if one is not other and len(one) + len(other) <= most:
            kept.append(np.array([[i, j]]))
            one += other
            members |= dict.fromkeys(other, one)
    return np.concatenate(kept)


def _compare(first: np.ndarray, second: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pairs as `near_duplicates` gives them, and the difference of each as a share of contrast."""
    alone, second = second is None, first if second is None else second
    contrasts, hashes = (_contrast(first), _contrast(second)), (_hash(first), _hash(second))
    candidates = np.flatnonzero(contrasts[1] >= FLAT)
    pairs, shares = [np.empty((0, 2), np.int64)], [np.empty(0)]
    rows = np.flatnonzero(contrasts[0] >= FLAT)
    at_once = min(BLOCK, max(1, LARGEST // max(1, len(candidates))))
    for block in np.split(rows, range(at_once, len(rows), at_once)):
        distance = np.bitwise_count(hashes[0][block, None] ^ hashes[1][candidates])
        i, j = np.nonzero(distance <= MOST_BITS)
        i, j = block[i], candidates[j]
        if alone:
            i, j = i[i < j], j[i < j]
        for k in np.split(np.arange(len(i)), range(BLOCK, len(i), BLOCK)):
            # int16 holds every difference of two bytes
            apart = np.subtract(first[i[k]], second[j[k]], dtype=np.int16).astype(np.float32)
            contrast = np.minimum(contrasts[0][i[k]], contrasts[1][j[k]])
            gray = apart @ np.array(LUMA, np.float32)
            share = np.sqrt((gray**2).mean(axis=(1, 2))) / contrast
            color = np.sqrt(((apart - gray[..., None]) ** 2).mean(axis=(1, 2, 3))) / contrast
            same = (share <= ALIKE) & (color <= ALIKE_COLOR)
            pairs.append(np.stack([i[k][same], j[k][same]], axis=1))
            shares.append(share[same])
    return np.concatenate(pairs), np.concatenate(shares)


def _linked(pairs: np.ndarray, n: int) -> np.ndarray:
    """Number what pairs link together, int64 (n,); -1 for what is in no pair."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1].astype(np.int64)
    return np.where(np.bincount(labels, minlength=1)[labels] > 1, labels, -1) if n else labels


def _long_chains(classes: np.ndarray, pairs: np.ndarray, most: int) -> np.ndarray:
    """Classes of more than `most` pictures, not all of which look like all others."""
    numbers, sizes = np.unique(classes[classes >= 0], return_counts=True)
    links = np.array([(classes[pairs[:, 0]] == number).sum() for number in numbers[sizes > most]])
    whole = sizes[sizes > most] * (sizes[sizes > most] - 1) // 2
    return numbers[sizes > most][links < whole]


def _contrast(thumbnails: np.ndarray) -> np.ndarray:
    """Standard deviation of gray, float64 (N,)."""
    return thumbnails.mean(axis=3).std(axis=(1, 2))


def _hash(thumbnails: np.ndarray) -> np.ndarray:
    """Difference hash, uint64 (N,): 8 x 8 places, each compared with its right neighbor."""
    n, half = len(thumbnails), SIDE // 2
    gray = thumbnails.reshape(n, half, 2, half, 2, 3).mean(axis=(2, 4, 5))
    bits = np.roll(gray, -1, axis=2) > gray + MARGIN
    return np.packbits(bits.reshape(n, half * half), axis=1).view(np.uint64)[:, 0]
