"""A saved model is a folder: `network.safetensors`, `config.json` and `card.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from striate import __version__
from striate.core.errors import InputError
from striate.core.files import atomic_path, read_json, write_json, write_text
from striate.models.lineage import describe_weights, say_start
from striate.models.model import Model
from striate.models.preprocessing import Preprocessing
from striate.models.weights import fill, load_state

WEIGHTS, CONFIG, CARD = "network.safetensors", "config.json", "card.md"
FORMAT = 2
"""Version of the format of `config.json`; since 2, `fingerprint` is `Model.stored_fingerprint`."""


def is_model_folder(path: str | Path) -> bool:
    """Whether a folder holds a saved model, or at least a `config.json` as a saved model has."""
    return (Path(path) / CONFIG).is_file()


def save(model: Model, folder: str | Path, facts: Mapping[str, Any] | None = None) -> Path:
    """Write a model folder; each file appears whole or not at all, the config last.

    Args:
        model: what to save.
        folder: made if absent. A model that was saved there before is replaced.
        facts: further lines of the card (what it was tuned to, for how long …).

    Returns:
        The folder.

    Raises:
        InputError: the folder holds weights or a config that Striate did not write.
        StriateError: the disk is full.
    """
    folder = Path(folder)
    foreign_file = _find_foreign_file(folder)
    if foreign_file:
        raise InputError(
            f"{folder} holds a {foreign_file} that Striate did not write. Choose another."
        )
    state: dict[str, Tensor] = {}
    addresses: set[int] = set()
    for name, value in model.network.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        if tensor.data_ptr() in addresses:  # safetensors wants tied weights in memory of their own
            tensor = tensor.clone()
        addresses.add(tensor.data_ptr())
        state[name] = tensor
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    write_text(folder / CARD, card(model, facts))
    write_json(
        folder / CONFIG,
        {
            "striate": __version__,
            "id": model.id,
            "options": model.options,
            "preprocessing": model.preprocessing.to_dict(),
            "taps": list(model.taps),
            "format": FORMAT,
            "fingerprint": model.stored_fingerprint(),
            "provenance": model.provenance,
        },
    )
    return folder


def load_folder(folder: Path, build: Callable[..., nn.Module]) -> Model:
    """Load a saved model in eval mode; `build(id, options=…)` makes its network.

    Raises:
        InputError: the weights are damaged, or not those that the config was written for.
    """
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise InputError(f"{folder / CONFIG} is no model config: it holds no named values.")
    try:
        options = config.get("options") or {}  # folders of version 0.1 have none
        network = build(config["id"], options=options)
        preprocessing = Preprocessing.from_dict(config["preprocessing"])
        taps, provenance = config["taps"], config["provenance"]
    except KeyError as error:
        raise InputError(f"{folder / CONFIG} is no model config: {error} is missing.") from error
    except TypeError as error:
        raise InputError(f"{folder / CONFIG} is no model config: {error}.") from error
    fill(network, load_state(folder / WEIGHTS), str(folder / WEIGHTS))
    model = Model(config["id"], network, preprocessing, taps, provenance, options).eval()
    if not is_as_stored(model, config):
        raise InputError(
            f"{folder / WEIGHTS} is not the file that {CONFIG} was written for (fingerprints "
            "differ): a leak check by its provenance would mean nothing. Restore both files."
        )
    return model


def is_as_stored(model: Model, config: Mapping[str, Any]) -> bool:
    """Whether a model is the one that a folder's config was written for.

    Folders of version 0.1, which have no format, hold `Model.structure_fingerprint`.
    """
    is_version_0_1 = "format" not in config
    fingerprint = model.structure_fingerprint() if is_version_0_1 else model.stored_fingerprint()
    return bool(fingerprint == config.get("fingerprint"))


def _find_foreign_file(folder: Path) -> str:
    """Return the name of a file that Striate would replace but did not write, or ''."""
    if is_model_folder(folder):
        try:
            is_ours = "fingerprint" in read_json(folder / CONFIG)
        except (InputError, TypeError):
            is_ours = False
        return "" if is_ours else CONFIG
    if (folder / WEIGHTS).exists():  # a tuning that was stopped between its two last files?
        run_files = {p.name for p in folder.iterdir()} & {"tune.yaml", "checkpoints"}
        return "" if run_files else WEIGHTS
    return ""


def card(model: Model, facts: Mapping[str, Any] | None = None) -> str:
    """Return the model card: what the model is, what input it takes, and what it has seen."""
    provenance = model.provenance
    rows = {
        "Network": model.id,
        "Weights": describe_weights(model),
        "Input": _describe_input(model.preprocessing),
        "Default taps": ", ".join(model.taps),
        "Stimuli seen in training": f"{len(model.seen)} (content hashes in {CONFIG})",
        "Responses": "**simulated**" if provenance["simulated"] else "measured, or none used",
        **{str(k): v for k, v in (facts or {}).items()},
    }
    stages = [_describe_stage_in_card(stage) for stage in provenance["stages"]]
    stages = stages or [f"- none: {describe_weights(model)}"]
    lines = [f"# {model.id}", ""]
    lines += [f"- {name}: {value}" for name, value in rows.items()]
    lines += ["", "## Stages of training", "", *stages, ""]
    lines += [
        "## Use",
        "",
        "```python",
        "from striate import models",
        'model = models.load("PATH/OF/THIS/FOLDER")',
        "```",
        "",
        "Do not score it on stimuli it has seen: Striate refuses to (`LeakError`).",
        "",
    ]
    return "\n".join(lines)


def _describe_input(preprocessing: Preprocessing) -> str:
    size, scale = preprocessing.size, preprocessing.scale
    mean, std = list(preprocessing.mean), list(preprocessing.std)
    return (
        f"{size} x {size} pixels ({preprocessing.resize}), {preprocessing.channels.upper()}, "
        f"(x / {scale:g} - {mean}) / {std}"
    )


_NOT_IN_CARD = ("kind", "config", "start", "tuned_to")
"""Facts of a stage that are too long for the card, or that it tells in words."""


def _describe_stage_in_card(stage: Any) -> str:
    """Return one line of the card; the config holds all settings of the stage."""
    if not isinstance(stage, Mapping):
        return f"- {stage}"
    facts = [f"{k.replace('_', ' ')} {v}" for k, v in stage.items() if k not in _NOT_IN_CARD]
    if isinstance(stage.get("start"), Mapping):
        facts.insert(0, f"started from {say_start(stage['start'])}")
    return f"- {stage.get('kind', 'stage')}: {'; '.join(facts)}"
