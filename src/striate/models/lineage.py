"""Where a model's weights come from, in words and as a record that can be compared with a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from striate.core.errors import InputError
from striate.models.model import Model

CLAIMS = ("tune.yaml", "train.yaml", "grow.yaml")
"""Files that learning writes first into a folder; they hold the fingerprint of its start."""


def describe_weights(model: Model) -> str:
    """Describe a model's weights: where they began, and each stage of learning since.

    The description uses only `provenance`: its `source`, the seed of random weights, and the stages
    that the source does not name already (it names those of a recognition model's front).

    Examples:
        >>> from striate.models import load
        >>> describe_weights(load("squeezenet1_1@random", seed=3))
        'random weights (seed 3)'
        >>> describe_weights(load("lcl_v2"))
        'random weights (seed 0), then layerwise growth on 1,359 photographs'
    """
    facts = model.provenance
    text = str(facts.get("source", "unknown weights"))
    if text == "random weights" and "seed" in facts:
        text += f" (seed {facts['seed']})"
    n_in_source = int(facts.get("stages_in_source", 0))
    for stage in facts["stages"][n_in_source:]:
        text += f", then {describe_stage(stage)}"
    return text


def describe_stage(stage: Any) -> str:
    """Describe a stage of learning in a few words."""
    if not isinstance(stage, Mapping):
        return str(stage)
    kind = str(stage.get("kind", "a stage that does not say what it was"))
    targets = [str(t) for t in stage.get("targets", ())]
    if targets:
        more_targets = f" and {len(targets) - 3} more" if len(targets) > 3 else ""
        simulated = " (simulated)" if stage.get("simulated") else ""
        return f"{kind} to {', '.join(targets[:3])}{more_targets}{simulated}"
    if "photographs" in stage:
        return f"{kind} on {int(stage['photographs']):,} photographs"
    if "images" in stage:
        name = f" of {stage['data']}" if stage.get("data") else ""
        return f"{kind} on {int(stage['images']):,} images{name}"
    return kind


def record_start(model: Model) -> dict[str, Any]:
    """Return what a stage of learning records of the model that it starts from.

    `weights` is the fingerprint that identifies that model, whatever its folder and name; the rest
    is for people.
    """
    return {
        "id": model.id,
        "weights": model.weights_fingerprint(),
        "description": describe_weights(model),
        "given": dict(model.given),
    }


def find_start(model: Model, folder: str | Path | None = None) -> dict[str, Any] | None:
    """Return what the last stage of a model's learning started from, or None if it is unknown.

    A stage of version 0.1 has no `start`. Then the file that its folder was claimed with gives
    the `structure` (`Model.structure_fingerprint`) of the start.

    Args:
        model: the model whose start is looked for.
        folder: the folder that it was loaded from.
    """
    stages = model.provenance["stages"]
    last_stage = stages[-1] if stages else None
    if isinstance(last_stage, Mapping) and isinstance(last_stage.get("start"), Mapping):
        return dict(last_stage["start"])
    for name in CLAIMS if folder is not None and stages else ():
        path = Path(str(folder)) / name
        try:
            record = yaml.safe_load(path.read_text(encoding="utf-8"))
            return {"id": record["model"]["id"], "structure": record["model"]["fingerprint"]}
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
            continue
    return None


def is_start(start: Mapping[str, Any], model: Model) -> bool:
    """Whether a recorded start is this model, by the fingerprint of its weights."""
    if "weights" in start:
        return bool(start["weights"] == model.weights_fingerprint())
    return bool(start.get("structure") == model.structure_fingerprint())


def say_start(start: Mapping[str, Any]) -> str:
    """Describe a start in words, with the beginning of its fingerprint."""
    code = str(start.get("weights", start.get("structure", "")))[:12]
    described = f"{start['description']}, " if start.get("description") else ""
    return f"{start.get('id', 'an unknown network')} ({described}fingerprint {code})"


def check_start(model: Model, base: Model, name: str, folder: str | Path | None = None) -> None:
    """Refuse a model whose last stage of learning did not start from `base`.

    Only the immediate start counts. For a network that was tuned twice it is the start of the
    second tuning; for one that was grown and then tuned it is the grown network. A model that
    learned nothing must be the base itself.

    Args:
        model: the model that is to be scored beside the base.
        base: the network that serves as the untuned one.
        name: name of the model, for messages.
        folder: the folder that the model was loaded from.

    Raises:
        InputError: another start or another input, both named, with the settings to give.
    """
    base_text = say_start({**record_start(base), "id": base.id})
    if model.preprocessing != base.preprocessing:
        model_input, base_input = model.preprocessing.to_dict(), base.preprocessing.to_dict()
        differences = ", ".join(
            f"{k} {model_input[k]} and {base_input[k]}"
            for k in model_input
            if model_input[k] != base_input[k]
        )
        raise InputError(
            f"model {name} and the untuned network of this run ({base_text}) are shown images in "
            f"two ways: {differences}. Give the same input "
            f"(model.image_size={model_input['size']}, model.resize='{model_input['resize']}', "
            "model.weights), so that a gain is that of the tuning."
        )
    if model.weights_fingerprint() == base.weights_fingerprint():
        return
    stages = model.provenance["stages"]
    if not stages:
        raise InputError(
            f"model {name} is {say_start(record_start(model))}, which was not tuned, and not the "
            f"untuned network of this run, {base_text}. A difference would be of the networks, not "
            "of a tuning. Take it as the untuned network (model.id, model.weights), or leave it "
            "out."
        )
    start = find_start(model, folder)
    if start is None and _is_origin(model, base):
        return
    if start is None:
        raise InputError(
            f"model {name} ({model.id}) does not say what it was tuned from: it was written by "
            f"version 0.1, and no {CLAIMS[0]} lies beside it. Whether {base_text} is its start "
            "cannot be known. Put the files of its folder back together, or tune it again."
        )
    if not is_start(start, base):
        raise InputError(
            f"model {name} ({describe_stage(stages[-1])}) started from {say_start(start)}; the "
            f"untuned network of this run is {base_text}. Its gain would be over a network that it "
            f"was not tuned from. {_suggest_start(start)}"
        )


def _is_origin(model: Model, base: Model) -> bool:
    """Whether a model of one stage without a recorded start can only have started from `base`.

    Published weights are fixed by a hash and random ones by a seed. So a base without stages and
    with the same source is the same network. Names of local files, however, mean nothing.
    """
    provenance, base_provenance = model.provenance, base.provenance
    same_origin = all(
        provenance.get(k) == base_provenance.get(k) for k in ("base", "source", "seed")
    )
    is_local = str(provenance.get("source", "local")).startswith("local")
    is_first_stage = len(provenance["stages"]) == 1 and not base_provenance["stages"]
    return same_origin and not is_local and is_first_stage and model.options == base.options


def _suggest_start(start: Mapping[str, Any]) -> str:
    """Return the advice to give the recorded start as the untuned network."""
    arguments = start.get("given") or {}
    settings = [f"model.{k}={v}" for k, v in arguments.items() if v not in (None, "")]
    if not settings:
        return "Give its start as the untuned network: model.id=THE FOLDER OF THAT MODEL."
    return f"Give its start as the untuned network: {' '.join(settings)}."
