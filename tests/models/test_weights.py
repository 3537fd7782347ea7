"""Weight files: what is read, what is refused, and that nothing in them runs."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.models import Preprocessing, load, load_state
from striate.models.weights import fill, read_metadata, stated_preprocessing


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("form", ["safetensors", "torch", "old torch", "checkpoint"])
def test_state_dicts_are_read(tmp_path: Path, form: str, prefix: str) -> None:
    state = network().state_dict()
    written = {prefix + k: v for k, v in state.items()}
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(written, path)
    elif form == "checkpoint":
        torch.save({"state_dict": written, "epoch": 3}, path)
    else:
        torch.save(written, path, _use_new_zipfile_serialization=form == "torch")
    assert same(load_state(path), dict(state))


def test_module_is_kept_where_it_is_a_name_of_the_network(tmp_path: Path) -> None:
    state = {"module.weight": torch.ones(2), "head.weight": torch.ones(3)}
    save_file(state, tmp_path / "w.safetensors")
    assert same(load_state(tmp_path / "w.safetensors"), state)


class Code:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("form", ["pickle", "pickle 2", "torch", "old torch"])
def test_pickle_with_code_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    trace, path = tmp_path / "ran", tmp_path / "w.pth"
    state = {"weight": torch.ones(2), "extra": Code(trace)}
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(state, protocol=2 if form.endswith("2") else 4))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(InputError, match=r"w\.pth is refused.*run code.*safetensors"):
        load_state(path)
    with pytest.raises(InputError, match="refused"):
        load("squeezenet1_1", weights=path)
    assert not trace.exists()
    if form != "torch" and form != "old torch":  # the file would have run code
        pickle.loads(path.read_bytes())
        assert trace.exists()


@pytest.mark.parametrize("length", [0, 5, 60, 0.5, 0.99])
def test_half_written_files_are_named(tmp_path: Path, length: float) -> None:
    for name in ("w.safetensors", "w.pth"):
        path = tmp_path / name
        state = dict(network().state_dict())
        if name.endswith("pth"):
            torch.save(state, path)
        else:
            save_file(state, path, {"input": "?"})
        whole = path.read_bytes()
        path.write_bytes(whole[: int(length * len(whole)) if isinstance(length, float) else length])
        with pytest.raises(InputError, match=f"{name} is (damaged|refused)"):
            load_state(path)
        with pytest.raises(InputError, match=f"{name} is (damaged|refused)"):
            load("squeezenet1_1", weights=path)


@pytest.mark.parametrize("content", [torch.ones(3), {"a": 1}, [torch.ones(2)], {"a": {"b": 1}}])
def test_file_without_a_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        load_state(tmp_path / "w.pth")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"w\.pth does not exist"):
        load_state(tmp_path / "w.pth")


def test_missing_extra_and_misshapen_entries_are_named_and_nothing_is_changed() -> None:
    net = network()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    state["0.wieght"] = state.pop("0.weight")
    state["1.bias"] = torch.zeros(7)
    with pytest.raises(InputError) as caught:
        fill(net, state, "weights file w.pth")
    text = str(caught.value)
    assert "weights file w.pth does not fit Sequential" in text
    assert "1 entries are missing (0.weight)" in text
    assert "1 are not known (0.wieght; did you mean 0.weight?)" in text
    assert "1.bias is (7,), expected (4,)" in text
    assert same(dict(net.state_dict()), before)


def test_batch_counts_may_be_missing_as_in_old_files() -> None:
    net, state = network(), {k: v + 1 for k, v in network().state_dict().items()}
    del state["1.num_batches_tracked"]
    fill(net, state, "w")
    assert torch.equal(net.state_dict()["1.running_mean"], torch.ones(4))


def test_weights_that_state_their_preprocessing(tmp_path: Path) -> None:
    stated = Preprocessing(64, "crop", "bgr", 2.0, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    path = tmp_path / "w.safetensors"
    state = load("squeezenet1_1@random", seed=3).network.state_dict()
    save_file(
        {k: v.contiguous() for k, v in state.items()},
        path,
        {"striate_preprocessing": json.dumps(stated.to_dict())},
    )
    model = load("squeezenet1_1", weights=path)
    assert model.preprocessing == stated
    assert model.provenance["source"] == "local file w.safetensors"
    assert same(dict(model.network.state_dict()), dict(state))


def test_caffe_statement_is_understood_and_others_are_refused() -> None:
    caffe = {"input": "BGR, 0..255 minus (103.94,116.78,123.68), no division"}
    assert stated_preprocessing(caffe, 224) == Preprocessing(
        224, channels="bgr", scale=1.0, mean=(103.94, 116.78, 123.68), std=(1.0, 1.0, 1.0)
    )
    assert stated_preprocessing({}, 224) is None
    for text in ("BGR", "GBR, 0..255 minus (1,2,3), no division", "RGB, 0..255 minus (1,2)"):
        with pytest.raises(InputError, match="not understood"):
            stated_preprocessing({"input": text}, 224)
    for text in ("{", '{"colour": 1}', "[]"):
        with pytest.raises(InputError, match="state a preprocessing that is not one"):
            stated_preprocessing({"striate_preprocessing": text}, 224)


def test_metadata_of_files_that_have_none(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "w.pth")
    assert read_metadata(tmp_path / "w.pth") == {}
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    assert read_metadata(tmp_path / "w.safetensors") == {}
    assert read_metadata(tmp_path / "absent.safetensors") == {}


def test_shared_squeezenet_states_bgr(shared_data: Path) -> None:
    path = shared_data / "weights" / "squeezenet1_1.safetensors"
    assert "BGR" in read_metadata(path)["input"]
    way = load("squeezenet1_1", weights=path).preprocessing
    assert (way.channels, way.scale, way.std) == ("bgr", 1.0, (1.0, 1.0, 1.0))
    assert way.mean == (103.94, 116.78, 123.68)


def test_weights_that_are_not_finite_are_refused() -> None:
    state = network().state_dict()
    state["0.bias"][2] = float("nan")
    with pytest.raises(InputError, match=r"somefile holds NaN or infinity in 0\.bias"):
        fill(network(), state, "somefile")


INTS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)


@pytest.mark.parametrize("dtype", [*INTS, torch.float8_e4m3fn, torch.complex64])
def test_weights_of_another_kind_are_refused(dtype: torch.dtype) -> None:
    net, before = network(), dict(network().state_dict())
    net.load_state_dict(before)
    state = dict(before)
    state["0.weight"] = (50 * before["0.weight"]).to(dtype)
    with pytest.raises(InputError, match=r"0\.weight is \w+") as caught:
        fill(net, state, "w")
    assert ("Dequantize" in str(caught.value)) == (
        dtype in (torch.int8, torch.uint8, torch.float8_e4m3fn)
    )
    assert same(dict(net.state_dict()), before)


def test_entries_of_a_quantized_network_are_named(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    for more in ("0.zero_point", "0._packed_params", "0.weight.SCB", "0.qweight"):
        with pytest.raises(InputError, match=rf"quantized weights \({more}\).*scale \* \(code"):
            fill(network(), {**state, more: torch.ones(1)}, "w")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will drop the type one day
        codes = torch.quantize_per_tensor(state["0.weight"], 0.01, 0, torch.qint8)
    with pytest.raises(InputError, match=r"quantized weights \(0\.weight is qint8\)"):
        fill(network(), {**state, "0.weight": codes}, "w")
    torch.save({**state, "0._packed_params": (state["0.weight"], None)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="quantized network"):
        load_state(tmp_path / "w.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_and_counts_are_read(dtype: torch.dtype) -> None:
    state = {k: v.to(dtype) for k, v in network().state_dict().items()}  # counts too
    net = network()
    fill(net, state, "w")
    assert net[0].weight.dtype == torch.float32
    assert torch.equal(net[0].weight, state["0.weight"].float())
    assert net[1].num_batches_tracked.dtype == torch.int64
    state["1.num_batches_tracked"] = torch.tensor(1.5)
    with pytest.raises(InputError, match=r"1\.num_batches_tracked is float32, expected int64"):
        fill(net, state, "w")
    state["1.num_batches_tracked"] = torch.tensor(0)
    state["0.bias"] = torch.full((4,), 1e300, dtype=torch.float64)
    with pytest.raises(InputError, match=r"0\.bias hold numbers too large for float32"):
        fill(net, state, "w")
