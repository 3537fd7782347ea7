"""Where a model's weights come from: what the record says, in words and as a start to compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from striate.core.errors import InputError
from striate.models.model import Model

CLAIMS = ("tune.yaml", "train.yaml", "grow.yaml")
"""What learning writes into a model's folder first: what it started from, by its fingerprint."""


def describe_weights(model: Model) -> str:
    """Say what a model's weights are: where they began, and each stage of learning since.

    From `provenance` alone: its `source`, the seed of random weights, and the stages that are not
    told in the source already (those of a recognition model's front are).

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
    told = int(facts.get("stages_in_source", 0))
    for stage in facts["stages"][told:]:
        text += f", then {describe_stage(stage)}"
    return text


def describe_stage(stage: Any) -> str:
    """Say in a few words what a stage of learning was."""
    if not isinstance(stage, Mapping):
        return str(stage)
    kind = str(stage.get("kind", "a stage that does not say what it was"))
    targets = [str(t) for t in stage.get("targets", ())]
    if targets:
        more = f" and {len(targets) - 3} more" if len(targets) > 3 else ""
        simulated = " (simulated)" if stage.get("simulated") else ""
        return f"{kind} to {', '.join(targets[:3])}{more}{simulated}"
    if "photographs" in stage:
        return f"{kind} on {int(stage['photographs']):,} photographs"
    if "images" in stage:
        name = f" of {stage['data']}" if stage.get("data") else ""
        return f"{kind} on {int(stage['images']):,} images{name}"
    return kind


def record_start(model: Model) -> dict[str, Any]:
    """What a stage of learning notes of the model that it starts from.

    `weights` is the fingerprint by which that model is known again, wherever it lies and whatever
    it is called; the rest is for people.
    """
    return {
        "id": model.id,
        "weights": model.weights_fingerprint(),
        "description": describe_weights(model),
        "given": dict(model.given),
    }


def find_start(model: Model, folder: str | Path | None = None) -> dict[str, Any] | None:
    """Return what the last stage of a model's learning started from, or None where nothing says.

    A stage of version 0.1 has no `start`. Then what its folder was claimed for tells: the
    `structure` (`Model.structure_fingerprint`) of the start.

    Args:
        model: whose start is asked for.
        folder: where it was loaded from.
    """
    stages = model.provenance["stages"]
    last = stages[-1] if stages else None
    if isinstance(last, Mapping) and isinstance(last.get("start"), Mapping):
        return dict(last["start"])
    for name in CLAIMS if folder is not None and stages else ():
        path = Path(str(folder)) / name
        try:
            known = yaml.safe_load(path.read_text(encoding="utf-8"))
            return {"id": known["model"]["id"], "structure": known["model"]["fingerprint"]}
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
            continue
    return None


def is_start(start: Mapping[str, Any], model: Model) -> bool:
    """Whether a start that was noted is this model, by the fingerprint of its weights."""
    if "weights" in start:
        return bool(start["weights"] == model.weights_fingerprint())
    return bool(start.get("structure") == model.structure_fingerprint())


def say_start(start: Mapping[str, Any]) -> str:
    """A start in words, with the beginning of its fingerprint."""
    code = str(start.get("weights", start.get("structure", "")))[:12]
    described = f"{start['description']}, " if start.get("description") else ""
    return f"{start.get('id', 'an unknown network')} ({described}fingerprint {code})"


def check_start(model: Model, base: Model, name: str, folder: str | Path | None = None) -> None:
    """Refuse a model whose last stage of learning did not start from `base`.

    The start is the immediate one: of a network that was tuned twice it is what the second tuning
    started from, and of one that was grown and tuned, the grown one. A model that learned nothing
    must be the base itself.

    Args:
        model: what is to be scored beside the base.
        base: what stands as the untuned network.
        name: of the model, for messages.
        folder: where the model was loaded from.

    Raises:
        InputError: another start or another input, both named, with the settings to give.
    """
    mine = say_start({**record_start(base), "id": base.id})
    if model.preprocessing != base.preprocessing:
        own, other = model.preprocessing.to_dict(), base.preprocessing.to_dict()
        apart = ", ".join(f"{k} {own[k]} and {other[k]}" for k in own if own[k] != other[k])
        raise InputError(
            f"model {name} and the untuned network of this run ({mine}) are shown images in two "
            f"ways: {apart}. Give the same input (model.image_size={own['size']}, "
            f"model.resize='{own['resize']}', model.weights), so that a gain is that of the tuning."
        )
    if model.weights_fingerprint() == base.weights_fingerprint():
        return
    stages = model.provenance["stages"]
    if not stages:
        raise InputError(
            f"model {name} is {say_start(record_start(model))}, which was not tuned, and not the "
            f"untuned network of this run, {mine}. A difference would be of the networks, not of "
            "a tuning. Take it as the untuned network (model.id, model.weights), or leave it out."
        )
    start = find_start(model, folder)
    if start is None and _is_origin(model, base):
        return
    if start is None:
        raise InputError(
            f"model {name} ({model.id}) does not say what it was tuned from: it was written by "
            f"version 0.1, and no {CLAIMS[0]} lies beside it. Whether {mine} is its start cannot "
            "be known. Put the files of its folder back together, or tune it again."
        )
    if not is_start(start, base):
        raise InputError(
            f"model {name} ({describe_stage(stages[-1])}) started from {say_start(start)}; the "
            f"untuned network of this run is {mine}. Its gain would be over a network that it was "
            f"not tuned from. {_mend(start)}"
        )


def _is_origin(model: Model, base: Model) -> bool:
    """Whether a model of one stage, whose start nobody noted, can have no other start than `base`.

    Published weights are fixed by a hash and random ones by a seed: a base without any stage whose
    record says the same is the same. Local files are called as anybody likes.
    """
    mine, other = model.provenance, base.provenance
    same = all(mine.get(k) == other.get(k) for k in ("base", "source", "seed"))
    local = str(mine.get("source", "local")).startswith("local")
    fresh = len(mine["stages"]) == 1 and not other["stages"]
    return same and not local and fresh and model.options == base.options


def _mend(start: Mapping[str, Any]) -> str:
    given = start.get("given") or {}
    settings = [f"model.{k}={v}" for k, v in given.items() if v not in (None, "")]
    if not settings:
        return "Give its start as the untuned network: model.id=THE FOLDER OF THAT MODEL."
    return f"Give its start as the untuned network: {' '.join(settings)}."
