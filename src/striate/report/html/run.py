"""What the pages of all verbs share: a run must have ended, and tells how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from striate.core.errors import InputError
from striate.core.files import read_json
from striate.report.html.page import Table


@dataclass(frozen=True)
class Provenance:
    """How a run was made.

    Attributes:
        command: that repeats it.
        facts: when it started, versions and machine, one a row.
        settings: all of them, as YAML.
        card: of the model that it learned; '' where there is none.
    """

    command: str
    facts: Table
    settings: str
    card: str = ""


def assert_finished(run: Path, *needed: str) -> None:
    """Refuse a run folder without the files that are written by its end.

    Raises:
        InputError: the run was stopped before its end; the first file that is missing is named.
    """
    missing = [name for name in needed if not (run / name).exists()]
    if missing:
        raise InputError(
            f"{run} has no {missing[0]} yet: the run was stopped before its end. Call the same "
            "command again; it goes on where it was."
        )


def read_unrelated(run: Path) -> list[str]:
    """Lines that nothing is predicted, shown before all else; earlier versions wrote none."""
    path = run / "unrelated.json"
    return list(read_json(path)) if path.exists() else []


def read_provenance(
    run: Path, config: dict[str, Any], further: dict[str, Any] | None = None
) -> Provenance:
    """Command, versions, machine and settings of a run.

    Args:
        run: its folder.
        config: its settings.
        further: facts of this run, shown after when it started.
    """
    record = read_json(run / "provenance.json")
    facts = {
        "started": record["started"],
        **(further or {}),
        **{f"version of {library}": version for library, version in record["versions"].items()},
        **{name: _write_fact(value) for name, value in record["machine"].items()},
    }
    card = run / "model" / "card.md"
    return Provenance(
        command=record["command"],
        facts=Table(["", ""], list(facts.items()), names=2),
        settings=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        card=card.read_text(encoding="utf-8") if card.exists() else "",
    )


def _write_fact(value: Any) -> Any:
    """A list, such as that of GPUs, in words."""
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
