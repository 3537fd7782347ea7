"""Weight files, read without running anything that is in them."""

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
    """Read a state dict from a safetensors file or from a torch file with plain tensors only.

    Raises:
        InputError: missing or damaged file; a pickle that holds anything but tensors and plain
            containers (it is refused before any code in it runs).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"weights file {path} does not exist.")
    if path.suffix == ".safetensors":
        try:
            return _plain_names(load_file(path))
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(
                f"weights file {path} is damaged or half-written ({error}; "
                f"{path.stat().st_size:,} bytes). Copy or download it again."
            ) from error
    try:
        with warnings.catch_warnings():  # about pickle protocols: it loads or it does not
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        lines = [line for line in str(error).splitlines() if line]
        told = [line for line in lines if not line.startswith(("Check the doc", "Weights only"))]
        raise InputError(
            f"weights file {path} is refused: it is no torch file, or a pickle with more than "
            "tensors in it, and loading that could run code. Save it as safetensors "
            "(safetensors.torch.save_file) where you trust it. "
            f"({told[-1] if told else lines[0]})"
        ) from error
    except Exception as error:  # whatever reading broken bytes can lead to
        raise InputError(
            f"weights file {path} is damaged or no torch file ({error}). Copy or download it again."
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if isinstance(state, Mapping) and any(str(k).endswith("_packed_params") for k in state):
        raise InputError(f"weights file {path} is of a quantized network. {DEQUANTIZE}")
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"weights file {path} holds no state dict (names to tensors).")
    return _plain_names(state)


def _plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the `module.` that data-parallel wrappers put before every name."""
    wrapped = all(str(k).startswith("module.") for k in state)
    return {str(k).removeprefix("module.") if wrapped else str(k): v for k, v in state.items()}


def fill(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict into a network, strictly.

    Floating-point entries may have another precision than the network's (16, 32 or 64 bits).

    Raises:
        InputError: missing, extra or wrongly shaped entries, quantized ones and others whose
            numbers would mean something else in the network, each named.
    """
    own = network.state_dict()
    missing = sorted(k for k in own.keys() - state.keys() if not k.endswith("num_batches_tracked"))
    extra = sorted(state.keys() - own.keys())
    shared = sorted(own.keys() & state.keys())
    _refuse_quantized(own, state, source)
    wrong = [
        f"{k} is {tuple(state[k].shape)}, expected {tuple(own[k].shape)}"
        for k in shared
        if own[k].shape != state[k].shape
    ]
    if missing or extra or wrong:
        problems = []
        if missing:
            problems.append(f"{len(missing)} entries are missing ({_some(missing)})")
        if extra:
            close = nearest(extra[0], missing)
            hint = f"; did you mean {close[0]}?" if close else ""
            problems.append(f"{len(extra)} are not known ({_some(extra)}{hint})")
        if wrong:
            problems.append(f"{len(wrong)} have another shape ({'; '.join(wrong[:3])})")
        raise InputError(
            f"{source} does not fit {type(network).__name__}: {'; '.join(problems)}. "
            "Is it the right network?"
        )
    unlike = [
        f"{k} is {_dtype(state[k])}, expected {_dtype(own[k])}"
        for k in shared
        if not _keeps_its_meaning(state[k], own[k].dtype)
    ]
    if unlike:
        raise InputError(
            f"{source} does not fit {type(network).__name__}: {len(unlike)} entries hold numbers "
            f"of another kind ({'; '.join(unlike[:3])}). Convert them to the kind expected, where "
            "they mean the same there."
        )
    broken = [k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if broken:
        raise InputError(
            f"{source} holds NaN or infinity in {_some(sorted(broken))}. The training that made it "
            "diverged, or the file is damaged; use another."
        )
    large = [k for k in shared if not torch.isfinite(state[k].to(own[k].dtype)).all()]
    if large:
        raise InputError(
            f"{source}: {_some(large)} hold numbers too large for {_dtype(own[large[0]])}."
        )
    network.load_state_dict(dict(state), strict=False)


_PLAIN_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_QUANTIZERS = ("zero_point", "_packed_params", ".SCB", ".qweight", ".qzeros")
"""How entries end that only quantized networks have: those of torch.ao, bitsandbytes and GPTQ."""


def _refuse_quantized(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    """Refuse codes where weights are expected: -128..127 would become weights of -128..127.

    Raises:
        InputError: naming the entries, and how to make weights of them.
    """
    found = []
    for name, value in sorted(state.items()):
        byte = value.element_size() == 1 and value.dtype != torch.bool  # int8, uint8, float8
        weight = name not in own or own[name].is_floating_point()
        if value.is_quantized or (byte and weight):
            found.append(f"{name} is {_dtype(value)}")
        elif name not in own and name.endswith(_QUANTIZERS):
            found.append(name)
    if found:
        raise InputError(
            f"{source} holds quantized weights ({_some(found)}): codes that mean nothing without "
            f"their scale and zero point. {DEQUANTIZE}"
        )


DEQUANTIZE = (
    "Dequantize them first, weight = scale * (code - zero_point) for each layer, and save them as "
    "float32 or float16 under the network's names; or take the file that was not quantized."
)


def _keeps_its_meaning(value: Tensor, dtype: torch.dtype) -> bool:
    """Whether values are the same numbers in another dtype, up to rounding of floats."""
    if value.dtype == dtype:
        return True
    if dtype in _PLAIN_FLOATS:
        return value.dtype in _PLAIN_FLOATS
    return torch.equal(value.to(dtype).to(value.dtype), value)


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _some(names: list[str]) -> str:
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
                return {}  # half-written: load_state says so
            header: dict[str, Any] = json.loads(f.read(size))
    except (OSError, struct.error, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return dict(header.get("__metadata__") or {})


def stated_preprocessing(metadata: Mapping[str, str], size: int) -> Preprocessing | None:
    """Return the preprocessing that a weights file states for itself, or None.

    Two spellings are understood: `striate_preprocessing`, the JSON of `Preprocessing.to_dict`,
    and the Caffe convention in words, `BGR, 0..255 minus (b, g, r), no division`.

    Raises:
        InputError: a statement that cannot be understood; a wrong guess would be silent.
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
    order, _, rest = words.partition(",0..255minus(")
    numbers, _, tail = rest.partition(")")
    try:
        mean = tuple(float(n) for n in numbers.split(","))
    except ValueError:
        mean = ()
    if order not in ("bgr", "rgb") or len(mean) != 3 or tail != ",nodivision":
        raise InputError(f"weights state an input convention that is not understood: {text!r}.")
    return Preprocessing(size, channels=order, scale=1.0, mean=mean, std=(1.0, 1.0, 1.0))


def download(url: str, sha256: str) -> Path:
    """Download a weights file once into the cache, checked by its hash.

    Raises:
        InputError: no network, or the file is not what was expected.
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
    except Exception as error:  # requests, urllib3 and pooch each have their own
        raise InputError(
            f"could not download {url} ({type(error).__name__}: {error}). Download it where there "
            "is a network and pass the file: weights=PATH (or model.weights=PATH in a config)."
        ) from error
