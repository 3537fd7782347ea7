"""Reading weight files without running code that they may contain."""

from __future__ import annotations

import json
import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pooch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from striate.core.cache import default_cache
from striate.core.errors import InputError, nearest
from striate.models.preprocessing import Preprocessing


def load_state(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file, or from a torch file that holds only tensors.

    Raises:
        InputError: a missing or damaged file; a pickle that holds anything but tensors and plain
            containers (it is refused before any code in it runs).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"weights file {path} does not exist.")
    if path.suffix == ".safetensors":
        try:
            return _strip_wrapper_prefix(load_file(path))
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(
                f"weights file {path} is damaged or half-written ({error}; "
                f"{path.stat().st_size:,} bytes). Copy or download it again."
            ) from error
    try:
        with warnings.catch_warnings():  # about pickle protocols, which do not matter here
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        lines = [line for line in str(error).splitlines() if line]
        reasons = [line for line in lines if not line.startswith(("Check the doc", "Weights only"))]
        raise InputError(
            f"weights file {path} is refused: it is no torch file, or a pickle with more than "
            "tensors in it, and loading that could run code. Save it as safetensors "
            "(safetensors.torch.save_file) where you trust it. "
            f"({reasons[-1] if reasons else lines[0]})"
        ) from error
    except Exception as error:  # reading broken bytes can raise anything
        raise InputError(
            f"weights file {path} is damaged or no torch file ({error}). Copy or download it again."
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if isinstance(state, Mapping) and any(str(k).endswith("_packed_params") for k in state):
        raise InputError(f"weights file {path} is of a quantized network. {DEQUANTIZE}")
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"weights file {path} holds no state dict (names to tensors).")
    return _strip_wrapper_prefix(state)


def _strip_wrapper_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the `module.` that data-parallel wrappers put before every name."""
    wrapped = all(str(k).startswith("module.") for k in state)
    return {str(k).removeprefix("module.") if wrapped else str(k): v for k, v in state.items()}


def fill(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict into a network, strictly.

    Floating-point entries may have another precision (16, 32 or 64 bits) than the network's.

    Raises:
        InputError: entries that are missing, unexpected, wrongly shaped or quantized, or whose
            numbers would mean something else in the network; each is named.
    """
    expected = network.state_dict()
    missing = sorted(
        k for k in expected.keys() - state.keys() if not k.endswith("num_batches_tracked")
    )
    unexpected = sorted(state.keys() - expected.keys())
    common = sorted(expected.keys() & state.keys())
    _refuse_quantized(expected, state, source)
    wrong_shapes = [
        f"{k} is {tuple(state[k].shape)}, expected {tuple(expected[k].shape)}"
        for k in common
        if expected[k].shape != state[k].shape
    ]
    if missing or unexpected or wrong_shapes:
        problems = []
        if missing:
            problems.append(f"{len(missing)} entries are missing ({_list_names(missing)})")
        if unexpected:
            suggestions = nearest(unexpected[0], missing)
            suggestion = f"; did you mean {suggestions[0]}?" if suggestions else ""
            problems.append(
                f"{len(unexpected)} are not known ({_list_names(unexpected)}{suggestion})"
            )
        if wrong_shapes:
            problems.append(
                f"{len(wrong_shapes)} have another shape ({'; '.join(wrong_shapes[:3])})"
            )
        raise InputError(
            f"{source} does not fit {type(network).__name__}: {'; '.join(problems)}. "
            "Is it the right network?"
        )
    wrong_dtypes = [
        f"{k} is {_name_dtype(state[k])}, expected {_name_dtype(expected[k])}"
        for k in common
        if not _keeps_meaning(state[k], expected[k].dtype)
    ]
    if wrong_dtypes:
        raise InputError(
            f"{source} does not fit {type(network).__name__}: {len(wrong_dtypes)} entries hold "
            f"numbers of another kind ({'; '.join(wrong_dtypes[:3])}). Convert them to the kind "
            "expected, where they mean the same there."
        )
    not_finite = [
        k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()
    ]
    if not_finite:
        raise InputError(
            f"{source} holds NaN or infinity in {_list_names(sorted(not_finite))}. The training "
            "that made it diverged, or the file is damaged; use another."
        )
    too_large = [k for k in common if not torch.isfinite(state[k].to(expected[k].dtype)).all()]
    if too_large:
        raise InputError(
            f"{source}: {_list_names(too_large)} hold numbers too large for "
            f"{_name_dtype(expected[too_large[0]])}."
        )
    network.load_state_dict(dict(state), strict=False)


_PLAIN_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_QUANTIZERS = ("zero_point", "_packed_params", ".SCB", ".qweight", ".qzeros")
"""Endings of entries that only quantized networks have (torch.ao, bitsandbytes and GPTQ)."""


def _refuse_quantized(
    expected: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str
) -> None:
    """Refuse codes instead of weights: codes of -128..127 would become weights of -128..127.

    Raises:
        InputError: the message names the entries, and how to make weights of them.
    """
    quantized = []
    for name, value in sorted(state.items()):
        is_byte = value.element_size() == 1 and value.dtype != torch.bool  # int8, uint8, float8
        is_weight = name not in expected or expected[name].is_floating_point()
        if value.is_quantized or (is_byte and is_weight):
            quantized.append(f"{name} is {_name_dtype(value)}")
        elif name not in expected and name.endswith(_QUANTIZERS):
            quantized.append(name)
    if quantized:
        raise InputError(
            f"{source} holds quantized weights ({_list_names(quantized)}): codes that mean nothing "
            f"without their scale and zero point. {DEQUANTIZE}"
        )


DEQUANTIZE = (
    "Dequantize them first, weight = scale * (code - zero_point) for each layer, and save them as "
    "float32 or float16 under the network's names; or take the file that was not quantized."
)


def _keeps_meaning(value: Tensor, dtype: torch.dtype) -> bool:
    """Whether values are the same numbers in another dtype, up to the rounding of floats."""
    if value.dtype == dtype:
        return True
    if dtype in _PLAIN_FLOATS:
        return value.dtype in _PLAIN_FLOATS
    return torch.equal(value.to(dtype).to(value.dtype), value)


def _name_dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _list_names(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the free-text metadata of a safetensors file; empty for other files."""
    path = Path(path)
    if path.suffix != ".safetensors":
        return {}
    try:
        with path.open("rb") as f:
            (size,) = struct.unpack("<Q", f.read(8))
            if size > path.stat().st_size:
                return {}  # half-written, which load_state reports
            header: dict[str, Any] = json.loads(f.read(size))
    except (OSError, struct.error, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return dict(header.get("__metadata__") or {})


def stated_preprocessing(metadata: Mapping[str, str], size: int) -> Preprocessing | None:
    """Return the preprocessing that the metadata of a weights file states, or None.

    Two spellings are understood: `striate_preprocessing`, the JSON of `Preprocessing.to_dict`,
    and the Caffe convention in words, `BGR, 0..255 minus (b, g, r), no division`.

    Raises:
        InputError: the statement is not understood; nobody would notice a wrong guess.
    """
    if "striate_preprocessing" in metadata:
        stated = metadata["striate_preprocessing"]
        try:
            return Preprocessing.from_dict(json.loads(stated))
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"weights state a preprocessing that is not one: {error}.") from error
    text = metadata.get("input")
    if text is None:
        return None
    words = text.replace(" ", "").lower()
    channels, _, rest = words.partition(",0..255minus(")
    numbers, _, tail = rest.partition(")")
    try:
        mean = tuple(float(n) for n in numbers.split(","))
    except ValueError:
        mean = ()
    if channels not in ("bgr", "rgb") or len(mean) != 3 or tail != ",nodivision":
        raise InputError(f"weights state an input convention that is not understood: {text!r}.")
    return Preprocessing(size, channels=channels, scale=1.0, mean=mean, std=(1.0, 1.0, 1.0))


def download(url: str, sha256: str) -> Path:
    """Download a weights file once into the cache, checked by its hash.

    Raises:
        InputError: there is no network, or the file is not the expected one.
    """
    try:
        return Path(
            pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                path=default_cache() / "weights",
                fname=url.rsplit("/", 1)[-1],
            )
        )
    except Exception as error:  # requests, urllib3 and pooch each have errors of their own
        raise InputError(
            f"could not download {url} ({type(error).__name__}: {error}). Download it where there "
            "is a network and pass the file: weights=PATH (or model.weights=PATH in a config)."
        ) from error
