"""The folder of one learning run, which is claimed for that run and locked by one process."""

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
    """Make the folder and lock it for this run; of several processes only the first one does."""
    if not fabric.is_global_zero:
        return nullcontext()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return locked(folder / ".lock")


def claim(folder: Path, name: str, record: Mapping[str, Any], fabric: Fabric) -> None:
    """Write what this folder is for to the file `name`, or check that the file says the same.

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
    """Refuse a folder that was claimed for something else; writes nothing.

    Raises:
        InputError: the folder holds something else, or a run with other settings (they are listed).
    """
    path = folder / name
    if not path.exists():
        entries = folder.iterdir() if folder.is_dir() else ()
        other_names = sorted(p.name for p in entries if not p.name.startswith("."))
        if other_names:
            raise InputError(
                f"{folder} is not empty and holds no such run (no {name}): {other_names[:5]}. "
                "Choose an empty or new folder."
            )
        return
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {error}. Choose another folder.") from error
    requested = yaml.safe_load(yaml.safe_dump(dict(record)))
    if isinstance(stored, dict) and "attributes" not in (stored.get("model") or {}):
        (requested.get("model") or {}).pop("attributes", None)  # runs of version 0.1 do not say
    differences = differing(stored, requested)
    if differences:
        raise InputError(
            f"{folder} holds a run with other settings:\n  "
            + "\n  ".join(differences)
            + "\nChoose another folder, or delete this one."
        )


def identify(model: Model) -> dict[str, str]:
    """Return what identifies the model that a run starts from, on every machine alike."""
    return {
        "id": model.id,
        "fingerprint": model.structure_fingerprint(),
        "attributes": model.attributes_fingerprint(),
    }


def finished_model(model: Model, folder: Path) -> Model:
    """Return the model of a finished folder, on `model`'s network, which may be unregistered."""
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
