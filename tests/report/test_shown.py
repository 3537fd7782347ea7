"""What every page shows: names that stay text, and how its run was made."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import escape

from striate.core.files import read_json, write_json
from striate.report import build, write_scorecard
from striate.report.html.run import read_provenance
from tests.report import scored_runs
from tests.report.scored_runs import NET, OTHER, TWIN
from tests.report.shown_runs import PAGES, grown
from tests.report.test_report import Check, fake_run

NAME = '<b>&"x"</b>'


class Text(HTMLParser):
    """What a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def assert_shown_as_text(page: str, name: str = NAME) -> None:
    """The name is on the page, and never as markup."""
    check = Check()
    check.feed(page)
    assert check.open == []
    text = Text()
    text.feed(page)
    assert sum(name in part for part in text.texts) >= 3
    assert name not in page and "<b>&" not in page
    assert all(link.startswith(("data:image/png;base64,", "../")) for link in check.links)


@pytest.mark.parametrize("verb", PAGES)
def test_names_are_text(verb: str, tmp_path: Path) -> None:
    page = build(PAGES[verb](tmp_path / "run", NAME)).read_text(encoding="utf-8")
    assert_shown_as_text(page)


def test_names_of_a_comparison_are_text(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "run", simulated=True)
    renamed = dict.fromkeys(("pooled_contrastive", "V1", "s1", "u1", "t1", "new images"), NAME)
    for file in [folder / "scores.parquet", *(folder / "tables").iterdir()]:
        pd.read_parquet(file).replace(renamed).to_parquet(file)
    leaks = read_json(folder / "leaks.json")
    check = {"model": NAME, "subject": NAME, "seen": 0, "test": 1}
    write_json(folder / "leaks.json", {**leaks, "checks": [check]})
    write_json(folder / "planted.json", {"lines": [NAME]})
    write_json(folder / "unrelated.json", [NAME])
    model = {"name": NAME, "id": NAME, "description": NAME}
    write_json(folder / "models.json", {"models": [model]})
    assert_shown_as_text(build(folder).read_text(encoding="utf-8"))


def test_names_on_a_scorecard_are_text(tmp_path: Path) -> None:
    name = '<b>&"x"<b>'  # what stands before a slash is a group there
    run = scored_runs.predicted(
        tmp_path / "a&b <i>", {name: 0.5, "net": 0.2}, {name: NET, "net": OTHER}, simulated=True
    )
    other = scored_runs.behaved(tmp_path / "decide", {f"{name}/1": 0.4}, {f"{name}/1": TWIN})
    page, _ = write_scorecard([run, other], tmp_path / "card")
    text = page.read_text(encoding="utf-8")
    assert_shown_as_text(text, name)
    assert f'data-name="{escape(name)} (squeezenet1_1' in text
    assert 'href="../a%26b%20%3Ci%3E/report.html"' in text and "<i>" not in text


def test_a_page_tells_how_its_run_was_made(tmp_path: Path) -> None:
    made = read_provenance(grown(tmp_path / "run", "net"), {"a": "é"}, {"seconds": 2.0})
    assert made.command == "striate net" and made.settings == "a: é\n" and made.card == "net"
    assert list(made.facts.rows)[:3] == [
        ("started", "2026-01-01"), ("seconds", 2.0), ("version of torch", "net"),
    ]  # fmt: skip
    assert ("gpus", "none") in made.facts.rows
