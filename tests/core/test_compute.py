"""How something is computed: one value that says it, or what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from striate.core.cache import Cache, default_cache
from striate.core.compute import Compute
from striate.core.errors import InputError


def test_defaults_are_those_of_the_library() -> None:
    compute = Compute()
    assert (compute.device, compute.batch_size, compute.precision) == ("auto", 64, "32")
    assert compute.cache.root == default_cache() and compute.progress


def test_a_device_is_looked_for_when_it_is_needed(tmp_path: Path) -> None:
    assert Compute("cpu", cache=Cache(tmp_path)).torch_device() == torch.device("cpu")
    nowhere = Compute("cuba")  # a run may be planned on one machine and done on another
    with pytest.raises(InputError, match="device 'cuba' is not auto, cpu"):
        nowhere.torch_device()


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="precision '16': expected '32' or 'bf16'"):
        Compute(precision="16")
