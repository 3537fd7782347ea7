"""Pages of studies: tables, and words with gaps."""

from __future__ import annotations

import pytest

from striate.core.errors import InputError
from striate.report.markdown import fill, markdown, portable


def test_a_table_has_a_row_a_line():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_gaps_are_filled_once():
    """What a part says is not filled again, even where it looks like a gap."""
    assert fill("{{a}} and {{b}}\n\n", {"a": "{{b}}", "b": "x"}) == "{{b}} and x\n"


@pytest.mark.parametrize("parts", [{}, {"a": "1", "c": "2"}])
def test_gaps_and_parts_must_agree(parts):
    with pytest.raises(InputError, match=r"gaps .* and parts .* do not agree"):
        fill("{{a}} {{b}}", parts)


def test_commands_do_not_tell_where_things_lay_on_one_machine():
    command = "striate x -c /a/b/studies/v4/x.yaml w=/c/w.bin p=[/d/shared/e/h,f/g] -o /a/runs/x/y"
    here = "striate x -c studies/v4/x.yaml w=w.bin p=[../shared/e/h,f/g] -o runs/x/y"
    assert portable(command) == here
