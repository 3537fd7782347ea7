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
"""Of `config.json`: from 2 on, `fingerprint` is `Model.stored_fingerprint`."""


def is_model_folder(path: str | Path) -> bool:
    """Whether a folder holds a saved model, or at least a `config.json` like that of one."""
    return (Path(path) / CONFIG).is_file()


def save(model: Model, folder: str | Path, facts: Mapping[str, Any] | None = None) -> Path:
    """Write a model folder; each file appears whole or not at all, the config last.

    Args:
        model: what to save.
        folder: where to; made if absent. A model saved there before is replaced.
        facts: further lines of the card (what it was tuned to, for how long …).

    Returns:
        The folder.

    Raises:
        InputError: the folder holds weights or a config that are somebody else's.
        StriateError: the disk is full.
    """
    folder = Path(folder)
    foreign = _foreign(folder)
    if foreign:
        raise InputError(f"{folder} holds a {foreign} that Striate did not write. Choose another.")
    state: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, value in model.network.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        if tensor.data_ptr() in places:  # tied weights: safetensors wants memory of their own
            tensor = tensor.clone()
        places.add(tensor.data_ptr())
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
    """Load a saved model, in eval mode; `build(id, options=…)` makes its network.

    Raises:
        InputError: damaged weights, or weights that are not those the config was written for.
    """
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise InputError(f"{folder / CONFIG} is no model config: it holds no named values.")
    try:
        options = config.get("options") or {}  # folders of version 0.1 say none
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

    Folders of version 0.1, which say no format, hold `Model.structure_fingerprint`.
    """
    old = "format" not in config
    found = model.structure_fingerprint() if old else model.stored_fingerprint()
    return bool(found == config.get("fingerprint"))


def _foreign(folder: Path) -> str:
    """Name the file of the folder that we would replace though somebody else wrote it, or ''."""
    if is_model_folder(folder):
        try:
            ours = "fingerprint" in read_json(folder / CONFIG)
        except (InputError, TypeError):
            ours = False
        return "" if ours else CONFIG
    if (folder / WEIGHTS).exists():  # a tuning that was stopped between its two last files?
        tuned = {p.name for p in folder.iterdir()} & {"tune.yaml", "checkpoints"}
        return "" if tuned else WEIGHTS
    return ""


def card(model: Model, facts: Mapping[str, Any] | None = None) -> str:
    """Return the model card: what it is, how to feed it, what it has seen."""
    provenance = model.provenance
    shape = model.preprocessing
    rows = {
        "Network": model.id,
        "Weights": describe_weights(model),
        "Input": f"{shape.size} x {shape.size} pixels ({shape.resize}), {shape.channels.upper()}, "
        f"(x / {shape.scale:g} - {list(shape.mean)}) / {list(shape.std)}",
        "Default taps": ", ".join(model.taps),
        "Stimuli seen in training": f"{len(model.seen)} (content hashes in {CONFIG})",
        "Responses": "**simulated**" if provenance["simulated"] else "measured, or none used",
        **{str(k): v for k, v in (facts or {}).items()},
    }
    stages = [_stage(stage) for stage in provenance["stages"]]
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


_IN_CONFIG = ("kind", "config", "start", "tuned_to")
"""Of a stage: what is too long for the card, or told in words."""


def _stage(stage: Any) -> str:
    """One line of the card; all settings of the stage are in the config."""
    if not isinstance(stage, Mapping):
        return f"- {stage}"
    facts = [f"{k.replace('_', ' ')} {v}" for k, v in stage.items() if k not in _IN_CONFIG]
    if isinstance(stage.get("start"), Mapping):
        facts.insert(0, f"started from {say_start(stage['start'])}")
    return f"- {stage.get('kind', 'stage')}: {'; '.join(facts)}"
