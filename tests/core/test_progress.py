"""Progress bars: they yield every item in order, and write only where they are wanted."""

import pytest

from striate.core.progress import ProgressBar, track_progress


@pytest.mark.parametrize("shown", [False, True])
def test_every_item_is_yielded_in_order(shown, capsys):
    assert list(track_progress(range(3), "features", shown=shown)) == [0, 1, 2]
    assert list(track_progress(iter("ab"), "features", shown=shown)) == ["a", "b"]
    assert shown or capsys.readouterr().out == ""


def test_a_bar_shows_its_label_and_note(capsys):
    with ProgressBar("learning", 2) as bar:
        bar.update(2, "step 2")
    text = capsys.readouterr().out
    assert "learning" in text and "step 2" in text


def test_a_hidden_bar_writes_nothing(capsys):
    with ProgressBar("learning", 2, shown=False) as bar:
        bar.update(1, "step 1")
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""
