"""Cut even surfaces out of photographs: seed textures for `striate probe textures.seeds=OUT`.

    python studies/physiology/seeds.py OUT PHOTOGRAPHS [PHOTOGRAPHS …] [--families 30]
    python studies/physiology/seeds.py OUT PHOTOGRAPHS … --chosen

The first shows what there is; `--chosen` takes those of it that we chose by eye, as showing one
surface and nothing else, with packaged pictures: fifteen in all, from BSDS500 and a sample of
ImageNet.

Only photographs that growing with seed 0 held out are taken (the tenth that `Photographs.hold_out`
draws by content and seed), so that no model grown with that seed has seen them; other seeds hold
out others. OUT/sources.json tells the hash of each photograph, for page.py to know which models
have. A square is even where contrast is alike in all of
its parts: its sixteen blocks are compared by the energy of oriented derivatives at three scales and
by their mean. The most even square of each photograph counts, and the most even squares are kept.
All of this is ours.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from striate.core.files import write_json
from striate.data.images.decode import LUMA
from striate.data.patches.photographs import Photographs
from striate.data.textures.seed_images import packaged

SIDE, STEP, BLOCKS = 160, 16, 4
SCALES = (1.0, 2.0, 4.0)
"""Standard deviations of the Gaussians whose derivatives are taken, in pixels."""
LEAST_CONTRAST = 15.0
"""Standard deviation of a square in gray levels: less is sky, or out of focus."""
LEAST_DETAIL = 0.25
"""Share of a square's variance that must be finer than `LARGE`: less is shading, not texture."""
LARGE = 8.0
CHOSEN = {
    "175043": "stones",
    "141012": "rubble",
    "157036": "bottles",
    "n02009912_American_egret": "water",
    "n01734418_king_snake": "rock",
    "250047": "planks",
    "167083": "snow",
    "43033": "blades",
    "187058": "reeds",
    "n07697537_hotdog": "vegetables",
    "59078": "ivy",
}
"""Of the thirty most even squares, by the name of the photograph, and what they show."""
PACKAGED = ("brick", "grass", "gravel", "reptile_skin")


def energies(gray: np.ndarray) -> np.ndarray:
    """Squared derivatives along four directions at three scales, (12, H, W)."""
    maps = []
    for scale in SCALES:
        along = gaussian_filter(gray, scale, order=(0, 1))
        down = gaussian_filter(gray, scale, order=(1, 0))
        maps += [along**2, down**2, (along + down) ** 2 / 2, (along - down) ** 2 / 2]
    return np.stack(maps)


def unevenness(square: np.ndarray, energy: np.ndarray) -> float:
    """How unlike a square's blocks are; infinite where there is no texture.

    Args:
        square: gray levels, (SIDE, SIDE).
        energy: its energies, (12, SIDE, SIDE).
    """
    fine = square - gaussian_filter(square, LARGE)
    if square.std() < LEAST_CONTRAST or fine.var() < LEAST_DETAIL * square.var():
        return np.inf
    cut = (BLOCKS, SIDE // BLOCKS) * 2
    blocks = energy.reshape(len(energy), *cut).mean(axis=(2, 4)).reshape(len(energy), -1)
    levels = square.reshape(cut).mean(axis=(1, 3)).ravel()
    return float(np.log(blocks + 1e-3).std(axis=1).mean() + levels.std() / square.std())


def best_square(gray: np.ndarray) -> tuple[float, np.ndarray]:
    """The most even square of a photograph and how uneven it is."""
    energy = energies(gray)
    best, square = np.inf, gray[:0]
    for top in range(0, gray.shape[0] - SIDE + 1, STEP):
        for left in range(0, gray.shape[1] - SIDE + 1, STEP):
            part = np.s_[top : top + SIDE, left : left + SIDE]
            value = unevenness(gray[part], energy[:, part[0], part[1]])
            if value < best:
                best, square = value, gray[part]
    return best, square


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("photographs", nargs="+")
    parser.add_argument("--families", type=int, default=30)
    parser.add_argument("--chosen", action="store_true")
    options = parser.parse_args()
    if options.out.exists():
        sys.exit(f"{options.out} is there already. Remove it or name another folder.")
    photographs = Photographs.from_folders(options.photographs).hold_out()[1]
    squares = {}
    for i, name in enumerate(photographs.names):
        stem = Path(name).stem
        if stem in CHOSEN or not options.chosen:
            rgb = np.moveaxis(photographs.planes(i), 0, -1).astype(np.float64)
            squares[stem] = best_square(rgb @ np.array(LUMA))
    even = sorted((value, name) for name, (value, _) in squares.items() if np.isfinite(value))
    names = {name: CHOSEN[name] if options.chosen else name for _, name in even}
    missing = set(CHOSEN) - set(names)
    if options.chosen and missing:
        sys.exit(f"no photograph {min(missing)} among those held out of {options.photographs}")
    options.out.mkdir(parents=True)
    hashes = dict(zip((Path(n).stem for n in photographs.names), photographs.hashes, strict=True))
    write_json(options.out / "sources.json", {names[n]: hashes[n] for n in names})
    for value, name in even[: options.families]:
        pixels = np.rint(squares[name][1]).astype(np.uint8)
        Image.fromarray(pixels).save(options.out / f"{names[name]}.png")
        print(f"{value:.2f} {name} {names[name]}")
    if options.chosen:
        for name in PACKAGED:
            source = packaged()[0][name][1]
            shutil.copy(source, options.out / f"{name}{source.suffix}")


if __name__ == "__main__":
    main()
