"""Shape bias: whether decisions follow shape or texture where the two of an image differ.

In a cue-conflict image the shape of one category has the texture of another (Geirhos et al. 2019,
arXiv 1811.12231): shape bias is the share of shape decisions among those that name either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from striate.core.errors import InputError, unknown_name

_NAME = re.compile(r"([a-z]+)\d+-([a-z]+)\d+")


def texture_categories(images: Sequence[str], categories: Sequence[str]) -> np.ndarray:
    """Find the category of each cue-conflict image's texture by its name, `SHAPEn-TEXTUREm`.

    Args:
        images: (T,) names.
        categories: names, in the order of the indices.

    Returns:
        (T,) indices of categories.

    Raises:
        InputError: a name of another form, or an unknown category.

    >>> texture_categories(["cat7-dog2", "dog1-dog3"], ["cat", "dog"]).tolist()
    [1, 1]
    """
    indices = []
    for image in images:
        name_parts = _NAME.fullmatch(str(image))
        if name_parts is None:
            raise InputError(
                f"cue-conflict image {image}: expected a name like cat7-dog2, the shape and then "
                "the texture, each with a number."
            )
        texture = name_parts[2]
        if texture not in categories:
            raise unknown_name("category", texture, categories, f"(Texture of image {image}.)")
        indices.append(list(categories).index(texture))
    return np.array(indices, dtype=np.int64)


def shape_bias(
    response: np.ndarray,
    shape: np.ndarray,
    texture: np.ndarray,
    counts: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute the shape bias of each observer over the images whose shape and texture disagree.

    `shape_bias = n_shape / (n_shape + n_texture)`: decisions for a third category do not count.

    Args:
        response: (O, T) category decided, -1 for none.
        shape: (T,) category of the shape.
        texture: (T,) category of the texture.
        counts: (S, T), how often each image is in each resample; default once.

    Returns:
        (S, O) each: `shape_bias`, NaN where no decision names shape or texture; and `shape` and
        `texture`, the shares of the conflict images that were decided by shape or by texture.

    Examples:
        >>> cat, dog, car = 0, 1, 2
        >>> response = np.array([[cat, dog, cat, car, dog]])
        >>> shape, texture = np.array([cat, cat, cat, cat, dog]), np.array([dog] * 5)
        >>> {k: v.round(3).item() for k, v in shape_bias(response, shape, texture).items()}
        {'shape_bias': 0.667, 'shape': 0.5, 'texture': 0.25}
    """
    response, shape, texture = (np.asarray(x) for x in (response, shape, texture))
    if response.ndim != 2 or not response.shape[1:] == shape.shape == texture.shape:
        raise InputError(
            f"responses of shape {response.shape}, shapes {shape.shape}, textures {texture.shape}: "
            "expected (observers, images) and one category an image."
        )
    conflict = shape != texture
    weights = np.ones((1, len(shape))) if counts is None else np.asarray(counts, np.float64)
    weights = weights[:, conflict]
    answers = response[:, conflict]
    n_shape = weights @ (answers == shape[conflict]).T.astype(np.float64)
    n_texture = weights @ (answers == texture[conflict]).T.astype(np.float64)
    n = weights.sum(axis=1, keepdims=True)
    named = n_shape + n_texture
    nan = np.full(named.shape, np.nan)
    return {
        "shape_bias": np.divide(n_shape, named, out=nan.copy(), where=named > 0),
        "shape": np.divide(n_shape, n, out=nan.copy(), where=n > 0),
        "texture": np.divide(n_texture, n, out=nan.copy(), where=n > 0),
    }
