"""A fingerprint for caches changes with all that decides the output, and with nothing else."""

from __future__ import annotations

import functools
import math
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.errors import InputError
from striate.encoding import extract
from striate.encoding.projection import ProjectionConfig
from striate.models import Model, Preprocessing, load, observation, save
from striate.models.observation import probe_images

GAIN = {"of all": 1.0}


class Plain(nn.Module):
    """One convolution whose output hangs on an attribute that torch knows nothing of."""

    def __init__(self, factor: Any) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 4, 3)
        self.what = factor

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.what(x) if callable(self.what) else self.what * x


def model(network: nn.Module) -> Model:
    return Model("mine", network, Preprocessing(12), ("conv",)).eval()


def fingerprint(factor: Any) -> str:
    return model(Plain(factor)).fingerprint()


def power(exponent: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x.abs() ** exponent


def shifted(x: Tensor, by: float = 1.0) -> Tensor:
    return x + by


def shifted_more(x: Tensor, by: float = 1.0) -> Tensor:
    return x + by + 1


@dataclass
class Settings:
    threshold: float = 1e9
    """Beyond all that a probe gives."""
    names: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    def __call__(self, x: Tensor) -> Tensor:
        return x.clamp_max(self.threshold)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1.0, 5.0),
        (F.relu, torch.sigmoid),
        (nn.functional.gelu, functools.partial(F.gelu, approximate="tanh")),
        (power(2), power(3)),
        (shifted, shifted_more),
        (functools.partial(shifted, by=2), functools.partial(shifted, by=3)),
        (lambda x: x, lambda x: 2 * x),
        (torch.tensor(1.0), torch.tensor(2.0)),
        (np.float32(1.0), np.float32(2.0)),
        (Settings(1e9), Settings(1e8)),  # differ for no image of the probe
        (Settings(names=("a",)), Settings(names=("b",))),
        (Settings(more={"deep": [1, {"er": 2}]}), Settings(more={"deep": [1, {"er": 3}]})),
        (1, 1.0),
    ],
)
def test_two_networks_that_differ_in_an_attribute_have_two_fingerprints(
    first: Any, second: Any
) -> None:
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(first) == fingerprint(first)
    assert (
        model(Plain(first)).attributes_fingerprint() == model(Plain(first)).attributes_fingerprint()
    )


@settings(max_examples=25, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_any_two_numbers_are_told_apart(first: float, second: float) -> None:
    same = first == second and math.copysign(1, first) == math.copysign(1, second)
    assert (fingerprint(first) == fingerprint(second)) == same


def test_features_of_the_one_are_not_those_of_the_other(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), dtype=np.uint8)
    cache, none = Cache(tmp_path), ProjectionConfig(kind="none")

    def features(factor: Any) -> np.ndarray:
        plain = Model("mine", nn.Sequential(Plain(factor)), Preprocessing(12), ("0",)).eval()
        hashes = [f"h{i}" for i in range(6)]
        compute = Compute(cache=cache, progress=False)
        return extract(plain, images, hashes, projection=none, compute=compute)["0"]

    assert np.allclose(features(5.0), 5 * features(1.0), rtol=1e-5, atol=1e-6)
    assert (features(torch.relu) >= 0).all() and (features(torch.sigmoid) > 0).all()
    assert not np.array_equal(features(torch.relu), features(torch.sigmoid))


def test_hooks_replaced_methods_and_globals_count(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Plain(1.0)
    plain = model(network)
    before = plain.fingerprint()
    handle = network.conv.register_forward_hook(lambda m, i, o: 2 * o)
    assert plain.fingerprint() != before
    handle.remove()
    assert plain.fingerprint() == before
    network.conv.forward = lambda x: x[:, :1]
    assert plain.fingerprint() != before
    del network.conv.forward
    assert plain.fingerprint() == before
    network.what = lambda x: GAIN["of all"] * x
    with_global = plain.fingerprint()
    monkeypatch.setitem(GAIN, "of all", 3.0)
    assert plain.fingerprint() != with_global


def written(body: str) -> type[nn.Module]:
    """A network as a user's script defines it, under the same name each time."""
    code = f"class Net(nn.Module):\n    def forward(self, x):\n        return {body}\n"
    space: dict[str, Any] = {"nn": nn, "torch": torch, "__name__": "script"}
    exec(code, space)  # as an edited file would
    return space["Net"]


def test_code_that_was_edited_counts_also_where_the_probe_gives_the_same() -> None:
    bodies = ["x", "x * 1", "x.clamp(max=1e9)", "x.clamp(max=1e8)", "x + x"]

    def of(body: str) -> str:
        return Model("mine", written(body)(), Preprocessing(12), ()).fingerprint()

    assert len({of(body) for body in bodies}) == len(bodies)
    assert of("x") == of("x")


@pytest.mark.parametrize(
    ("helpers", "body"),
    [
        ("def clip(x): return x.clamp(max=LIMIT)", "helpers.clip(x)"),
        ("def clip(x): return x.clamp(max=LIMIT)", "clip(x)"),
        ("class Settings:\n    limit = LIMIT", "x.clamp(max=Settings.limit)"),
        ("class Of:\n    limit = 0\nmine = Of()\nmine.limit = LIMIT", "x.clamp(max=mine.limit)"),
        ("limit = LIMIT", "x.clamp(max=helpers.limit)"),
    ],
)  # fmt: skip
def test_what_a_user_keeps_in_another_module_counts(
    helpers: str, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no image of the probe is beyond the limit."""

    def of(limit: float) -> str:
        module = types.ModuleType("helpers")
        exec(helpers.replace("LIMIT", str(limit)), vars(module))
        monkeypatch.setitem(sys.modules, "helpers", module)
        code = f"class Net(nn.Module):\n    def forward(self, x):\n        return {body}\n"
        members = {k: v for k, v in vars(module).items() if not k.startswith("__")}
        space: dict[str, Any] = {"nn": nn, "helpers": module, "__name__": "script", **members}
        exec(code, space)
        return Model("mine", space["Net"](), Preprocessing(12), ()).fingerprint()

    assert of(1e8) != of(1e9)
    assert of(1e8) == of(1e8)


def test_a_class_that_is_an_attribute_counts_by_its_content() -> None:
    def of(limit: float) -> type:
        return type("Limits", (), {"limit": limit, "__module__": __name__})

    assert fingerprint(1.0) == fingerprint(1.0)
    first, second = Plain(1.0), Plain(1.0)
    first.kept, second.kept = of(1e8), of(1e9)
    assert model(first).fingerprint() != model(second).fingerprint()


def test_options_and_versions_count(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = model(Plain(1.0))
    before, stored = plain.fingerprint(), plain.stored_fingerprint()
    weights = plain.weights_fingerprint()
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert plain.fingerprint() != before
    # a folder or a scorecard of another installation is known all the same
    assert (plain.stored_fingerprint(), plain.weights_fingerprint()) == (stored, weights)
    monkeypatch.undo()
    plain.options = {"stages": 3}
    assert plain.fingerprint() != before


def test_modules_in_a_list_count_and_rings_end() -> None:
    class Listed(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.ring = [inner], []
            self.ring.append(self.ring)
            inner.parents = [self]

        def forward(self, x: Tensor) -> Tensor:
            return self.inner[0](x)

    def of(inner: nn.Module) -> str:
        return Model("mine", Listed(inner), Preprocessing(12), ()).fingerprint()

    assert of(Plain(1.0)) == of(Plain(1.0)) != of(Plain(2.0))
    heavy = Plain(1.0)
    with torch.no_grad():
        heavy.conv.weight[0, 0, 0, 0] += 1
    assert of(heavy) != of(Plain(1.0))


class Counting(Plain):
    """Keeps what a pass leaves behind: a count, and what was made at the first call."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if not hasattr(self, "grid"):
            self.grid = torch.ones(x.shape[-1])
        self.last = x.shape, float(x.sum()) + self.calls
        return super().forward(x * self.grid)


def test_what_a_pass_leaves_behind_does_not_count() -> None:
    counting = model(Counting(1.0))
    first = counting.fingerprint()
    assert counting.fingerprint() == first
    counting(torch.zeros(2, 12, 12, 3, dtype=torch.uint8))
    assert counting.fingerprint() == first == model(Counting(1.0)).fingerprint()
    assert counting.attributes_fingerprint() == model(Counting(1.0)).attributes_fingerprint()
    counting.network.what = 2.0
    assert counting.fingerprint() != first


def test_threads_mode_and_copies_do_not_count(tmp_path: Path) -> None:
    squeeze = load("squeezenet1_1@random", image_size=64)
    before = squeeze.fingerprint()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    assert squeeze.fingerprint() == before
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    state = torch.random.get_rng_state()
    assert squeeze.train().fingerprint() == before
    assert squeeze.training and torch.equal(torch.random.get_rng_state(), state)
    assert squeeze.copy().fingerprint() == before
    assert load(save(squeeze, tmp_path / "m")).fingerprint() == before


def test_slow_networks_are_run_again_only_where_something_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = model(Counting(1.0))
    monkeypatch.setattr(observation, "SLOW", 0.0)
    first = slow.fingerprint()
    passes = slow.network.calls
    assert slow.fingerprint() == first and slow.network.calls == passes
    slow.network.what = 2.0
    second = slow.fingerprint()
    assert second != first and slow.network.calls > passes
    with torch.no_grad():
        slow.network.conv.bias[0] += 1
    assert slow.fingerprint() not in (first, second)
    slow.network.what = F.dropout
    with pytest.raises(InputError, match="from call to call"):
        slow.fingerprint()


@pytest.mark.parametrize(
    "factor",
    [
        lambda x: F.dropout(x, 0.5),  # training=True is its default
        lambda x: x + torch.rand_like(x),
        lambda x: x * np.random.default_rng().random(),
    ],
)
def test_networks_that_are_random_in_eval_mode_are_refused(factor: Any) -> None:
    with pytest.raises(InputError, match="another output for the same images from call to call"):
        fingerprint(factor)


def test_networks_that_cannot_take_their_own_images_still_have_one() -> None:
    wrong = Model("mine", nn.Linear(7, 2), Preprocessing(12), ())
    assert wrong.fingerprint() == wrong.fingerprint()


@given(st.integers(1, 40))
def test_probe_images_have_noise_ramps_and_extremes(size: int) -> None:
    images = probe_images(size)
    assert images.shape == (3, size, size, 3) and images.dtype == torch.uint8
    if size > 8:
        assert images.float().std(dim=(1, 2, 3)).min() > 30
        assert len(images[0].unique()) > 20
        assert set(images[2].unique().tolist()) == {0, 255}
