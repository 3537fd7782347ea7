"""The cases of the page, computed anew: each function returns what comes out now, as text."""

from __future__ import annotations

import tempfile
import warnings
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import stats

from striate.core.errors import InputError
from striate.data import Responses, StimulusSet, make_split, read, tidy
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.noise_ceilings import ceiling_from_ncsnr, noise_ceiling, split_half
from striate.encoding import (
    compare_rdms,
    explained_variance,
    make_resampling,
    pearson_r,
    permutation_p,
    rdm_crossnobis,
    rdm_euclidean,
    shuffled_means,
)
from striate.encoding.inference import resampled_means
from striate.models import load


def _refusal(function, *arguments) -> str:
    """Say what a call is refused with."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f"accepted: {function(*arguments)}"
    except InputError as error:
        return f"refused: {str(error).split('. ')[0]}."


def _folder(root: Path, values: np.ndarray, pictures: list[int], units: str = "") -> Path:
    """A data folder of plain pictures, one gray level a picture."""
    (root / "images").mkdir(parents=True)
    names = [f"p{i:03d}" for i in range(len(pictures))]
    for name, level in zip(names, pictures, strict=True):
        Image.new("RGB", (8, 8), (level, level, level)).save(root / "images" / f"{name}.png")
    np.save(root / "responses.npy", values)
    (root / "stimulus_ids.txt").write_text("\n".join(names), encoding="utf-8")
    if units:
        (root / "units.csv").write_text(units, encoding="utf-8")
    return root


def arithmetic() -> str:
    """Averages of whole numbers with a copy of a picture, by type of the file."""
    trials = np.array([[10, 12], [15, 17], [100, 102], [50, 52]])[..., None]
    out = {}
    for kind in ("u1", "<i4", ">i8", "f4"):
        with tempfile.TemporaryDirectory() as place:
            _folder(Path(place) / "ann", trials.astype(kind), [10, 10, 90, 200])
            data, _ = tidy(read("folder", Path(place)))
            out[kind] = data["ann"].responses.mean()[:, 0].tolist()
    return "; ".join(f"{kind}: {means}" for kind, means in out.items())


def half_precision() -> str:
    """The mean of 120 trials of 3000 in float16."""
    trials = np.full((3, 120, 1), 3000, np.float16)
    responses = Responses.build(trials, ["a", "b", "c"], subject="ann")
    return f"{responses.mean()[0, 0]:.0f}"


def ragged_table() -> str:
    """A table of units whose rows end in a comma."""
    units = "unit_id,noise_ceiling,roi_V1\nu1,.7,1,\nu2,.8,0,\n"
    with tempfile.TemporaryDirectory() as place:
        _folder(Path(place) / "ann", np.eye(3, 2), [10, 90, 200], units)
        return _refusal(read, "folder", Path(place)).replace(place, "DATA")


def ties() -> str:
    """Spearman's rho of one-hot features, whole and in thirds, beside scipy's of exact numbers."""
    one_hot = np.repeat(np.eye(6), 10, axis=0)
    other = rdm_euclidean(np.random.default_rng(0).normal(size=(60, 20)))
    exact = [
        float(sum((Fraction(int(a)) - int(b)) ** 2 for a, b in zip(x, y, strict=True)))
        for i, x in enumerate(one_hot)
        for y in one_hot[i + 1 :]
    ]
    places = np.triu_indices(60, 1)
    truth = stats.spearmanr(exact, other[places]).statistic
    similarities = [
        float(np.squeeze(compare_rdms(rdm_euclidean(one_hot / scale), other, "spearman")))
        for scale in (1, 3)
    ]
    return f"{similarities[0]:.4f} and {similarities[1]:.4f}; scipy {truth:.4f}"


def lower_triangle() -> str:
    """Half a matrix as an RDM."""
    rdm = rdm_euclidean(np.random.default_rng(0).normal(size=(12, 5)))
    return _refusal(compare_rdms, np.tril(rdm), rdm, "spearman")


def small_split_half() -> str:
    """Split-half reliability of noise, and of units whose reliability is one half."""
    rng = np.random.default_rng(0)
    noise = split_half(rng.normal(size=(4, 4, 500)))
    signal = rng.normal(size=(6, 1, 2000)) + 2 * rng.normal(size=(6, 4, 2000))
    return (
        f"noise {noise.min():.2f} to {noise.max():.2f}; truth .5: {split_half(signal).mean():.2f}"
    )


def deep_picture() -> str:
    """Twelve bits in a 16-bit picture that does not say so."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "deep.png"
        Image.fromarray((np.arange(64, dtype=np.uint16) * 64).reshape(8, 8)).save(file)
        return _refusal(StimulusSet(["deep"], [file]).image, 0).replace(place, "DATA")


def lookalikes() -> str:
    """Pictures re-encoded as JPEG, under another name: how many stand on both sides of a split."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "ann" / "images"
        folder.mkdir(parents=True)
        for i in range(60):
            coarse = (rng.random((6, 6, 3)) * 255).astype(np.uint8)
            picture = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
            picture.save(folder / f"a{i:02d}.png")
            picture.save(folder / f"b{i:02d}.jpg", quality=85)
        names = sorted(p.stem for p in folder.iterdir())
        np.save(folder.parent / "responses.npy", rng.normal(size=(120, 2)))
        (folder.parent / "stimulus_ids.txt").write_text("\n".join(names))
        table = make_split(read("folder", Path(place))).table.set_index("stimulus_id")["part"]
    apart = sum(table[f"a{i:02d}"] != table[f"b{i:02d}"] for i in range(60))
    return f"{apart} of 60 pairs"


@cache
def movies() -> tuple[float, float]:
    """Coverage of the 95 % interval, and how often the null fires, with 6 movies of 22 frames."""
    rng = np.random.default_rng(0)
    groups = [f"m{i // 22}" for i in range(132)]
    covered, fired, runs, truth = 0, 0, 300, 0.5
    for seed in range(runs):
        shared = np.sqrt(0.9) * np.repeat(rng.normal(size=(2, 6, 1, 10)), 22, axis=2)
        x, other = (shared + np.sqrt(0.1) * rng.normal(size=(2, 6, 22, 10))).reshape(2, 132, 10)
        y = truth * x + np.sqrt(1 - truth**2) * other
        resampling = make_resampling(132, groups)
        r = float(pearson_r(y, x).mean())
        interval = resampling.interval(r, resampled_means(y, x, resampling.counts))
        covered += interval.low <= truth <= interval.high
        null = shuffled_means(other, x, 100, seed, groups)
        fired += permutation_p(float(pearson_r(other, x).mean()), null) <= 0.05
    return covered / runs, fired / runs


def movie_interval() -> str:
    """Coverage with 6 movies."""
    return f"covers {movies()[0]:.0%} of 300"


def movie_null() -> str:
    """How often a model of nothing is called better than chance."""
    return f"fires in {movies()[1]:.1%} of 300"


def joined_ceiling() -> str:
    """The ceiling before and after copies are joined, and what a perfect model reaches."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(200, 1, 1))
    trials = signal[[*range(200)] * 2] + 1.2 * rng.normal(size=(400, 2, 1))
    ids = [f"s{i:03d}" for i in range(400)]
    levels = [np.full((4, 4, 3), i % 200, np.uint8) for i in range(400)]
    responses = Responses.build(trials, ids, subject="a", noise_ceiling=noise_ceiling(trials))
    data, _ = tidy(Dataset("folder", {"a": Recording("a", StimulusSet(ids, levels), responses)}))
    joined = data["a"].responses
    reached = pearson_r(joined.mean(), signal[:, 0])[0]
    return (
        f"{responses.noise_ceiling[0]:.3f} before, {joined.noise_ceiling[0]:.3f} after; a perfect "
        f"model reaches {reached:.3f}"
    )


def weak_units() -> str:
    """A perfect model of units of reliability .153: mean r over ceiling, and the pooled share."""
    from striate.data.responses.noise_ceilings import reliability
    from striate.encoding import ceiling_normalized

    rng = np.random.default_rng(0)
    said = []
    for n in (20, 200):
        signal = rng.normal(size=(n, 1, 20000))
        trials = signal + np.sqrt(2 * (1 / 0.153 - 1)) * rng.normal(size=(n, 2, 20000))
        r = pearson_r(trials.mean(axis=1), signal[:, 0])
        mean = np.nanmean(ceiling_normalized(r, noise_ceiling(trials)))
        share = explained_variance(r, reliability(trials), n - 1).share
        said.append(f"{n} stimuli: {mean:.2f} and {share:.2f}")
    assert abs(float(ceiling_from_ncsnr(np.array([1.0]), 1)[0]) - 0.5**0.5) < 1e-12
    return "; ".join(said)


def crossnobis() -> str:
    """Mean crossnobis distance of pure noise, whitened, with its standard error."""
    said = []
    for n, repeats in ((40, 4), (100, 2)):
        means = []
        for seed in range(6):
            trials = np.random.default_rng(seed).normal(size=(n, repeats, 60))
            rdm = rdm_crossnobis(trials, noise="covariance")
            means.append(rdm[np.triu_indices(n, 1)].mean())
        error = np.std(means, ddof=1) / np.sqrt(len(means))
        said.append(f"N {n}, R {repeats}: {np.mean(means):+.3f} ± {error:.3f}")
    return "; ".join(said)


class _Scaled(torch.nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        self.layer, self.gain = torch.nn.Conv2d(3, 4, 3), gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * self.layer(x)


def fingerprints() -> str:
    """Two networks that differ in a plain attribute."""
    from striate.models import Model
    from striate.models.preprocessing import Preprocessing

    prints = []
    for gain in (1.0, 5.0):
        torch.manual_seed(0)
        shape = Preprocessing(size=16)
        prints.append(Model("mine", _Scaled(gain).eval(), shape, ["layer"]).fingerprint())
    return "another fingerprint" if prints[0] != prints[1] else "the same fingerprint"


def baseline() -> str:
    """What the packaged model says that it started from."""
    from striate.models.lineage import describe_weights

    return describe_weights(load("lcl_v2"))
