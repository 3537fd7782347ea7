"""Checking the device that was asked for."""

from __future__ import annotations

from striate.core.errors import InputError


def device_name(device: str) -> str:
    """Return `cpu`, `cuda` or `cuda:N` for the requested device; `auto` prefers a GPU.

    Raises:
        InputError: an unknown device, or one that this machine does not have.
    """
    import torch  # here, because the core is also imported where nothing is computed

    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdigit())):
        raise InputError(f"device {device!r} is not auto, cpu, cuda or cuda:N.")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device!r}: this torch sees {torch.cuda.device_count()} GPUs. Use device=cpu, "
            "or install a torch built for your GPU."
        )
    if kind == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
