"""The folder of one learning run: claimed for one thing, by one process at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import yaml
from lightning_fabric import Fabric

from striate.core.config import differing
from striate.core.errors import InputError
from striate.core.files import explain_os_error, locked, read_json, write_text
from striate.models import Model, load_state
from striate.models.store import WEIGHTS, is_as_stored
from striate.models.weights import fill


def folder_lock(folder: Path, fabric: Fabric) -> AbstractContextManager[None]:
    """Make the folder and hold it for this run; only the first of several processes does."""
    if not fabric.is_global_zero:
        return nullcontext()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return locked(folder / ".lock")


def claim(folder: Path, name: str, record: Mapping[str, Any], fabric: Fabric) -> None:
    """Write what this folder is for to the file `name`, or check that it is for the same.

    Raises:
        InputError: the folder holds something else, or a run with other settings (they are listed).
    """
    path = folder / name
    fabric.barrier()  # rank 0 holds the lock from here on
    if fabric.is_global_zero and not path.exists():
        check_claim(folder, name, record)
        write_text(path, yaml.safe_dump(dict(record), sort_keys=False, allow_unicode=True))
    fabric.barrier()
    check_claim(folder, name, record)


def check_claim(folder: Path, name: str, record: Mapping[str, Any]) -> None:
    """Refuse a folder that is for something else; writes nothing.

    Raises:
        InputError: the folder holds something else, or a run with other settings (they are listed).
    """
    path = folder / name
    if not path.exists():
        there = folder.iterdir() if folder.is_dir() else ()
        others = sorted(p.name for p in there if not p.name.startswith("."))
        if others:
            raise InputError(
                f"{folder} is not empty and holds no such run (no {name}): {others[:5]}. "
                "Choose an empty or new folder."
            )
        return
    try:
        known = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {error}. Choose another folder.") from error
    asked = yaml.safe_load(yaml.safe_dump(dict(record)))
    if isinstance(known, dict) and "attributes" not in (known.get("model") or {}):
        (asked.get("model") or {}).pop("attributes", None)  # runs of version 0.1 do not say
    differences = differing(known, asked)
    if differences:
        raise InputError(
            f"{folder} holds a run with other settings:\n  "
            + "\n  ".join(differences)
            + "\nChoose another folder, or delete this one."
        )


def identify(model: Model) -> dict[str, str]:
    """What a folder is claimed for as its start: the same on every machine."""
    return {
        "id": model.id,
        "fingerprint": model.structure_fingerprint(),
        "attributes": model.attributes_fingerprint(),
    }


def finished_model(model: Model, folder: Path) -> Model:
    """Return the model of a finished folder; works for networks that are not registered."""
    saved = read_json(folder / "config.json")
    if not isinstance(saved, dict) or not {"provenance", "fingerprint"} <= saved.keys():
        raise InputError(
            f"{folder / 'config.json'} is no model config: expected provenance and fingerprint in "
            "it. Restore the file or delete the folder to learn again."
        )
    fill(model.network, load_state(folder / WEIGHTS), str(folder / WEIGHTS))
    model.provenance, model.id = saved["provenance"], saved.get("id", model.id)
    if not is_as_stored(model, saved):
        raise InputError(
            f"{folder / WEIGHTS} is not what the run wrote (fingerprints differ). Restore the file "
            "or delete the folder to learn again."
        )
    return model.eval()
