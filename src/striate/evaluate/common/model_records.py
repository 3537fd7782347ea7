"""`models.json` of a run folder: which models were scored, so that other runs recognize them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from striate.core.files import write_json
from striate.models import Model
from striate.models.lineage import describe_weights, find_start

FILE = "models.json"


def model_record(name: str, model: Model, group: str | None = None) -> dict[str, Any]:
    """Say what a run tells of a model.

    Args:
        name: in the tables of the run.
        model: on which scores are made.
        group: name of the models that this is one of, such as one tuned network a session.
    """
    return {
        "name": name,
        "group": group,
        "id": model.id,
        "weights": model.weights_fingerprint(),
        "fingerprint": model.fingerprint(),
        "description": describe_weights(model),
        "start": (find_start(model) or {}).get("weights"),
        "simulated": bool(model.provenance["simulated"]),
    }


def write_models(run: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write `models.json` into a run folder."""
    write_json(run / FILE, {"models": list(records)})
