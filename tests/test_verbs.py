"""The table of verbs: what its rows name exists, and each run is known by its verb."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest

from striate.core.config import Config
from striate.core.errors import InputError
from striate.core.files import write_json
from striate.report import build
from striate.verbs import RESERVED, VERBS, find_verb, resolve, verb_of


@pytest.mark.parametrize("name", VERBS)
def test_every_address_of_a_row_exists(name: str) -> None:
    verb = VERBS[name]
    assert verb.name == name and name not in RESERVED
    assert issubclass(resolve(verb.config), Config)
    addresses = [verb.run, verb.ending, *verb.scorecard.values()]
    addresses += [address for address in (verb.page, verb.command) if address]
    assert all(callable(resolve(address)) for address in addresses)
    assert list(signature(resolve(verb.run)).parameters) == ["config", "out", "options"]
    assert verb.help.splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("provenance", "name"),
    [
        ({"verb": "probe", "command": "striate compare x"}, "probe"),
        ({"verb": None, "command": "striate grow -c lcl.yaml -o runs/lcl"}, "grow"),
        ({"command": "striate demo -o demo"}, "compare"),
        ({"command": "striate"}, None),
        ({"command": "python studies/lcl_v2/score.py"}, None),
        ({"verb": "gaze"}, None),
        ({}, None),
    ],
)
def test_a_run_is_of_the_verb_that_it_tells_or_that_its_command_names(
    provenance: dict[str, str], name: str | None, tmp_path: Path
) -> None:
    write_json(tmp_path / "provenance.json", provenance)
    verb = find_verb(tmp_path)
    assert (verb.name if verb else None) == name
    if verb is None:
        with pytest.raises(InputError, match=r"gaze, which is not known here|tell which verb made"):
            verb_of(tmp_path)


def test_a_folder_without_provenance_tells_no_verb(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("front: {}\n")
    with pytest.raises(InputError, match="does not tell which verb made it"):
        build(tmp_path)
