"""Near-duplicates: re-encoded or resized copies of an image, which a hash of pixels cannot detect.

A split keeps them in one part, like exact copies (`striate.data.splits.bundles`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from striate.data.images.decode import LUMA

SIDE = 16
"""Thumbnails are SIDE x SIDE pixels."""
FLAT = 6.0
"""Least standard deviation of gray, of 255, of a thumbnail that can be recognized. Even areas,
noise, fine gratings and fine textures have less."""
MARGIN = 2.0
"""Gray levels by which neighbors must differ; without a margin noise decides in uniform areas."""
MOST_BITS = 8
"""Largest Hamming distance, of 64 bits, between two pictures that are compared closely."""
ALIKE = 0.1
"""Largest difference of gray (root mean square) of near-duplicates, as a share of the contrast.

Measured on 500 photographs of BSDS500 (one is flat) and 500 of ImageNet. Copies as JPEG of quality
30, 50, 75 and 95 are all found; of copies at half the size and quality 75, 497 and 495 are found.
Where the photographs were first shrunk to 128 pixels, 497, 499, 499 and 499 are found and all of
ImageNet's; shrunk to 64 pixels, 472, 493, 499, 499 and 497, 498, 500, 500. There was no wrong pair
in any of these and none within either set. Macaque V4 (7,738 pictures) has one pair, which is one
picture that was shown in two sessions; its most similar different pictures (one landscape with two
animals) differ by 0.13. Crops and mirror images are not found."""
ALIKE_COLOR = 0.25
"""The same for colors less gray, which JPEG stores at half the resolution."""
CHAIN = 0.05
"""Largest share of the pictures that a chain of look-alikes may hold before it is cut."""
FEW = 10
"""A chain of at most so many pictures is never cut."""
BLOCK = 1024
"""Most pictures that are compared with all others at a time."""
LARGEST = 2**24
"""Most pairs that are compared at a time, eight bytes each."""


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """Shrink uint8 RGB (H, W, 3) of any size to (SIDE, SIDE, 3), ignoring the aspect ratio."""
    # A rough step before the fine one is three times as fast; copies of other sizes still agree.
    small = Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.array(small)


def near_duplicates(first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """Find the pairs of thumbnails that look like one picture.

    A difference hash (is a position brighter than its right neighbor?) finds candidates. Candidates
    are near-duplicates if their colors agree everywhere too. Flat pictures are never called alike.

    Args:
        first: uint8 (N, SIDE, SIDE, 3), as `thumbnail` gives them.
        second: uint8 (M, SIDE, SIDE, 3); None compares `first` with itself.

    Returns:
        Positions in `first` and `second`, int64 (n_pairs, 2), ascending; each pair once.
    """
    return _compare_thumbnails(first, second)[0]


@dataclass(frozen=True)
class Alike:
    """Which pictures look like one another.

    Attributes:
        chains: int64 (N,), one number for all pictures that are linked by look-alikes of
            look-alikes; -1 for a picture that looks like no other.
        classes: the same, with long chains cut into pieces.
    """

    chains: np.ndarray
    classes: np.ndarray


def find_classes(thumbnails: np.ndarray, largest: float = CHAIN) -> Alike:
    """Put pictures that look alike into classes, together with the look-alikes of each.

    Where a looks like b and b like c, all three are one class. A long chain, such as a slow movie,
    could join half a data set. A chain is therefore cut if it holds more than the share `largest`
    of the pictures (and more than `FEW`) and not all of them look like all others. Its pieces have
    at most so many pictures; the most alike are joined first, and ties go by position.

    Args:
        thumbnails: uint8 (N, SIDE, SIDE, 3), as `thumbnail` gives them.
        largest: largest share of the pictures in a chain that is not cut.
    """
    n = len(thumbnails)
    pairs, shares = _compare_thumbnails(thumbnails)
    chains = _number_chains(pairs, n)
    most = int(max(FEW, largest * n))
    in_long_chain = np.isin(chains[pairs[:, 0]], _find_long_chains(chains, pairs, most))
    if not in_long_chain.any():
        return Alike(chains, chains)
    order = np.flatnonzero(in_long_chain)[
        np.lexsort((*pairs[in_long_chain].T[::-1], shares[in_long_chain]))
    ]
    return Alike(
        chains,
        _number_chains(
            np.concatenate([pairs[~in_long_chain], _select_joining_pairs(pairs[order], most)]), n
        ),
    )


def _select_joining_pairs(pairs: np.ndarray, most: int) -> np.ndarray:
    """Take pairs in their order and keep those that join pieces of at most `most` pictures."""
    members = {int(i): [int(i)] for i in np.unique(pairs)}
    joining = [np.empty((0, 2), np.int64)]
    for i, j in pairs.tolist():
        first_piece, second_piece = members[i], members[j]
        if first_piece is not second_piece and len(first_piece) + len(second_piece) <= most:
            joining.append(np.array([[i, j]]))
            first_piece += second_piece
            members |= dict.fromkeys(second_piece, first_piece)
    return np.concatenate(joining)


def _compare_thumbnails(
    first: np.ndarray, second: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the pairs of `near_duplicates`, and the difference of each as a share of contrast."""
    within, second = second is None, first if second is None else second
    contrasts, hashes = (
        (_measure_contrast(first), _measure_contrast(second)),
        (_hash_differences(first), _hash_differences(second)),
    )
    candidates = np.flatnonzero(contrasts[1] >= FLAT)
    pairs, shares = [np.empty((0, 2), np.int64)], [np.empty(0)]
    rows = np.flatnonzero(contrasts[0] >= FLAT)
    at_once = min(BLOCK, max(1, LARGEST // max(1, len(candidates))))
    for block in np.split(rows, range(at_once, len(rows), at_once)):
        distance = np.bitwise_count(hashes[0][block, None] ^ hashes[1][candidates])
        i, j = np.nonzero(distance <= MOST_BITS)
        i, j = block[i], candidates[j]
        if within:
            i, j = i[i < j], j[i < j]
        for k in np.split(np.arange(len(i)), range(BLOCK, len(i), BLOCK)):
            # int16 holds every difference of two bytes
            difference = np.subtract(first[i[k]], second[j[k]], dtype=np.int16).astype(np.float32)
            contrast = np.minimum(contrasts[0][i[k]], contrasts[1][j[k]])
            gray = difference @ np.array(LUMA, np.float32)
            share = np.sqrt((gray**2).mean(axis=(1, 2))) / contrast
            color = np.sqrt(((difference - gray[..., None]) ** 2).mean(axis=(1, 2, 3))) / contrast
            same = (share <= ALIKE) & (color <= ALIKE_COLOR)
            pairs.append(np.stack([i[k][same], j[k][same]], axis=1))
            shares.append(share[same])
    return np.concatenate(pairs), np.concatenate(shares)


def _number_chains(pairs: np.ndarray, n: int) -> np.ndarray:
    """Number the chains that pairs link together, int64 (n,); -1 for a picture in no pair."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1].astype(np.int64)
    return np.where(np.bincount(labels, minlength=1)[labels] > 1, labels, -1) if n else labels


def _find_long_chains(classes: np.ndarray, pairs: np.ndarray, most: int) -> np.ndarray:
    """Find classes of more than `most` pictures in which not all look like all others."""
    numbers, sizes = np.unique(classes[classes >= 0], return_counts=True)
    links = np.array([(classes[pairs[:, 0]] == number).sum() for number in numbers[sizes > most]])
    all_pairs = sizes[sizes > most] * (sizes[sizes > most] - 1) // 2
    return numbers[sizes > most][links < all_pairs]


def _measure_contrast(thumbnails: np.ndarray) -> np.ndarray:
    """Return the standard deviation of gray in each thumbnail, float64 (N,)."""
    return thumbnails.mean(axis=3).std(axis=(1, 2))


def _hash_differences(thumbnails: np.ndarray) -> np.ndarray:
    """Compute difference hashes, uint64 (N,): 8 x 8 positions, compared with right neighbors."""
    n, half = len(thumbnails), SIDE // 2
    gray = thumbnails.reshape(n, half, 2, half, 2, 3).mean(axis=(2, 4, 5))
    bits = np.roll(gray, -1, axis=2) > gray + MARGIN
    return np.packbits(bits.reshape(n, half * half), axis=1).view(np.uint64)[:, 0]
