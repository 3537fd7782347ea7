"""Run folders: one place for everything a run used and made, safe to stop and to go on with."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from striate import __version__
from striate.core.config import Config, differing, read_yaml
from striate.core.errors import InputError
from striate.core.files import explain_os_error, read_json, write_json
from striate.core.hashing import hash_json

VERSIONED = ("torch", "numpy", "scipy", "scikit-learn", "xarray", "pandas", "lightning-fabric")


class RunFolder:
    """A folder holding one run: its config, provenance and results.

    Args:
        path: the folder; made if absent.
        config: the resolved config of the run.
        command: the command line that repeats the run.
        verb: what makes the run, a name of `striate.verbs`; '' for a script of your own.
        overwrite: allow a folder that holds a run with another config; its results are kept
            where the new run does not replace them.

    Raises:
        InputError: when the folder holds something else than a run, a run of another kind, or a
            run with another config (the differences are listed), or cannot be written to.
    """

    def __init__(
        self,
        path: str | Path,
        config: Config,
        *,
        command: str = "",
        verb: str = "",
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        check_run_folder(self.path, config, overwrite=overwrite)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        config.save(self.path / "config.yaml")
        facts = {**provenance(command), "settings": _name_settings(config), "verb": verb or None}
        write_json(self.path / "provenance.json", facts)

    def __truediv__(self, name: str) -> Path:
        return self.path / name


def check_run_folder(path: str | Path, config: Config, *, overwrite: bool = False) -> None:
    """Refuse a folder that a run with this config must not be written to; writes nothing.

    Raises:
        InputError: as `RunFolder`.
    """
    path = Path(path)
    config_file = path / "config.yaml"
    try:
        others = [p for p in path.iterdir() if not p.name.startswith(".")]
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain_os_error(error, path) from error
    if config_file.exists():
        settings = read_yaml(config_file)
        _check_kind(path, config, settings)
        differences = differing(settings, config.to_dict())
        if differences and not overwrite:
            raise InputError(
                f"{path} holds a run with another config:\n  "
                + "\n  ".join(differences)
                + "\nChoose another output folder (--out), or pass --overwrite."
            )
    elif others:
        raise InputError(
            f"{path} is not empty and holds no run (no config.yaml). "
            "Choose an empty or new output folder."
        )


def holds_same_run(path: Path, config: Config) -> bool:
    """Whether a folder holds a run with this very config."""
    config_file = path / "config.yaml"
    return config_file.exists() and not differing(read_yaml(config_file), config.to_dict())


def _name_settings(config: Config) -> str:
    """Name the class of settings; each verb has a class of its own."""
    return type(config).__name__


def _check_kind(path: Path, config: Config, settings: dict[str, Any]) -> None:
    """Refuse a run of another verb: going on would write over what it says of itself."""
    provenance_file = path / "provenance.json"
    kind = None  # runs of earlier versions do not tell it
    if provenance_file.exists():
        kind = read_json(provenance_file).get("settings")
    asked = _name_settings(config)
    needed = [f.alias or n for n, f in type(config).model_fields.items() if f.is_required()]
    missing = [name for name in needed if name not in settings]
    if kind not in (None, asked) or missing:
        reason = kind or f"its config.yaml has no {missing[0]}"
        raise InputError(
            f"{path} holds a run of another kind ({reason}, asked for {asked}). Choose another "
            "output folder (--out)."
        )


def provenance(command: str = "") -> dict[str, Any]:
    """Return what a reader needs to judge and repeat a run: versions, machine, command, time."""
    versions = {"striate": __version__, "python": platform.python_version()}
    for package in VERSIONED:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "command": command or " ".join(["striate", *sys.argv[1:]]),
        "folder": str(Path.cwd()),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """Describe the machine without naming it: processor, cores, memory, GPUs."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip()
            for line in info.read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        name = models[0] if models else name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "gpus": _name_gpus(),
    }


def _name_gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


class Pieces:
    """The finished pieces of a run, each kept under the hash of everything that decides it.

    A run that is stopped and started again takes finished pieces from here; one that a changed
    config no longer asks for is simply not found.

    Args:
        folder: where the pieces are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: Mapping[str, Any]) -> Path:
        """Return the folder of the piece with this key."""
        return self.folder / hash_json(dict(key))[:20]

    def load(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what `store` kept for this key, or None."""
        done = self.path(key) / "done.json"
        return read_json(done) if done.exists() else None

    def store(self, key: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Mark the piece as finished; its files must already lie in `path(key)`."""
        write_json(self.path(key) / "done.json", {**facts, "key": dict(key)})
