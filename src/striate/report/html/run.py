"""What the pages of all verbs share: a run must have ended, and tells how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from striate.core.errors import InputError
from striate.core.files import read_json
from striate.report.html.page import Raw, bullets, code, facts, folded, paragraph, section


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


def unrelated_notice(run: Path) -> Raw:
    """That nothing is predicted, before all else; runs of earlier versions do not tell."""
    path = run / "unrelated.json"
    return bullets(read_json(path), "alarm") if path.exists() else Raw("")


def provenance_section(
    run: Path, config: dict[str, Any], *parts: Raw, further: dict[str, Any] | None = None
) -> Raw:
    """Command, versions, machine and settings of a run.

    Args:
        run: its folder.
        config: its settings.
        parts: shown between the command and the facts, such as a table of models.
        further: facts of this run, after when it started.
    """
    known = read_json(run / "provenance.json")
    shown = {
        "started": known["started"],
        **(further or {}),
        **{f"version of {k}": v for k, v in known["versions"].items()},
        **known["machine"],
    }
    return section(
        "Provenance",
        paragraph("The command to repeat this run:"),
        code(known["command"]),
        *parts,
        facts(shown),
        *_card(run),
        folded("All settings", code(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))),
    )


def _card(run: Path) -> list[Raw]:
    card = run / "model" / "card.md"
    if not card.exists():
        return []
    return [folded("Model card", code(card.read_text(encoding="utf-8")))]
