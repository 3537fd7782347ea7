"""Two processes that share a batch compute what one process computes from the whole of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from striate.core.files import read_json
from striate.learning import tune
from striate.learning.common.distributed import gather
from tests.learning.common.ddp_worker import BATCHES, CONFIGS, gradients
from tests.learning.tiny import tiny_data, tiny_model
from tests.learning.torchrun import two_process_results

two_processes = two_process_results("common.ddp_worker")


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("batch", BATCHES)
def test_gradients_equal_those_of_one_process(two_processes: Path, name: str, batch: int) -> None:
    if batch == 1 and name != "regression":
        pytest.skip("a contrastive batch of one is never made")
    alone = gradients(name, batch)
    shared = torch.load(two_processes / f"{name}-{batch}.pt", weights_only=True)
    assert alone.keys() == shared.keys()
    assert any(n.startswith("model.") for n in alone)
    for parameter, expected in alone.items():
        torch.testing.assert_close(shared[parameter], expected, rtol=1e-9, atol=1e-12)
    assert max(g.abs().max() for n, g in alone.items() if n.startswith("model.")) > 1e-4


@pytest.mark.parametrize("name", ["contrastive", "regression"])
def test_whole_run_equals_that_of_one_process(
    two_processes: Path, name: str, tmp_path: Path
) -> None:
    data = [tiny_data("A", n=40), tiny_data("B", n=35, units=7, seed=1)]
    tune(tiny_model(dropout=0.0), data, CONFIGS[name], tmp_path / "one", progress=False)
    alone = load_file(tmp_path / "one" / "network.safetensors")
    shared = load_file(two_processes / name / "network.safetensors")
    if name == "contrastive":
        # The heads' batch norm takes this bias out again: its gradient is rounding noise, which
        # Adam scales up to steps of full size.
        alone.pop("classifier.bias")
    for key, expected in alone.items():
        torch.testing.assert_close(shared[key], expected, rtol=0, atol=1e-5)
    seen = read_json(two_processes / name / "config.json")["provenance"]["seen"]
    assert seen == read_json(tmp_path / "one" / "config.json")["provenance"]["seen"]


def test_one_process_needs_no_gathering() -> None:
    rows = torch.randn(4, 3)
    assert gather(rows, [4]) is rows
