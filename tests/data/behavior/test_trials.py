"""Trials of behavioral experiments: what is read, left out, lined up, and refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from striate.core.errors import InputError
from striate.data import EXCLUDED, exclude, line_up, read_trials
from striate.data.behavior.trials import COLUMNS

HEAD = "subj,Session,trial,rt,object_response,category,condition,imagename"


def session(folder: Path, subject: str, rows: list[str], packed: bool = False) -> Path:
    """A table of `response,category,condition,image` rows as an experiment writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [HEAD]
    for i, row in enumerate(rows, 1):
        response, category, condition, image = row.split(",")
        name = f"{i:04d}_x_s01_{condition}_{category}_10_{image}.png"
        lines.append(f"{subject},1,{i},0.5,{response},{category},{condition},{name}")
    file = folder / f"{folder.name}_{subject}_session_1.csv"
    text = "\n".join(lines) + "\n"
    if packed:
        file = file.with_name(f"{file.name}.gz")
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)
    return file


ROWS = ["cat,cat,0.90,a", "na,dog,0.90,b", "dog,cat,0.10,c", "dog,dog,0.10,d"]


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    session(tmp_path / "all" / "noise", "ann", ROWS, packed=True)
    session(tmp_path / "all" / "noise", "bob", [ROWS[i] for i in (2, 0, 3, 1)])
    session(tmp_path / "all" / "hues", "ann", ["cat,cat,true,a", "dog,dog,False,b"])
    return tmp_path / "all"


def test_the_tidy_table(trials: Path) -> None:
    table = read_trials(trials)
    assert tuple(table.columns) == COLUMNS and len(table) == 10
    assert set(table["experiment"]) == {"noise", "hues"}
    assert set(table["condition"]) == {"0.9", "0.1", "true", "false"}
    assert table["image"].tolist()[:2] == ["a", "b"] and table["rt"].eq(0.5).all()
    noise_trials = read_trials(trials / "noise")
    assert set(noise_trials["experiment"]) == {"noise"} and len(noise_trials) == 8
    single = read_trials(next((trials / "noise").glob("*.gz")))
    assert set(single["observer"]) == {"ann"} and set(single["experiment"]) == {"noise"}


def test_linked_sessions_are_read_and_links_to_nothing_named(trials: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "hues").symlink_to(trials / "hues")
    (linked / "noise").mkdir()
    for file in (trials / "noise").iterdir():
        (linked / "noise" / file.name).symlink_to(file)
    pd.testing.assert_frame_equal(read_trials(linked), read_trials(trials))
    lost = linked / "noise" / "noise_cyd_session_1.csv"
    for link in (lost, linked / "edge"):
        link.symlink_to(trials / "gone")
        with pytest.raises(InputError, match=f"{link.name} is a link to .*gone, which is not"):
            read_trials(linked)
        link.unlink()


def test_numbers_and_booleans_of_parquet_are_the_same_conditions(tmp_path: Path) -> None:
    base = {"observer": "net", "response": "cat", "category": "cat", "image": ["a", "b"]}
    for name, condition in (("noise", [0.9, 0.1]), ("hues", [True, False])):
        table = pd.DataFrame({**base, "condition": condition, "experiment": name})
        table.to_parquet(tmp_path / f"{name}.parquet")
    table = read_trials(tmp_path)
    assert set(table["condition"]) == {"0.9", "0.1", "true", "false"}
    assert set(table["experiment"]) == {"noise", "hues"}


def test_excluded_conditions_go_in_any_spelling(trials: Path) -> None:
    table = read_trials(trials)
    included = exclude(table, {"noise": ["0.900"], "hues": [True], "elsewhere": ["x"]})
    assert set(included["condition"]) == {"0.1", "false"}
    with pytest.raises(InputError, match=r"experiment noise '0\.91'. Did you mean 0\.9"):
        exclude(table, {"noise": [0.91]})
    with pytest.raises(InputError, match=r"say which are: exclude\.contrast=\[…\], or none"):
        exclude(table.assign(experiment="contrast"))  # conditions of one's own
    with pytest.raises(InputError, match="hues: all its conditions"):
        exclude(table, {"hues": [True, False]})
    assert len(EXCLUDED) == 12 and sum(map(len, EXCLUDED.values())) == 32


def test_observers_are_lined_up_by_image(trials: Path) -> None:
    humans = line_up(read_trials(trials), "noise")
    assert humans.names == ("ann", "bob") and humans.response.shape == (2, 4)
    assert humans.images.tolist() == ["c", "d", "a", "b"]
    assert humans.correct.tolist() == [[False, True, True, False]] * 2
    assert humans.groups.tolist() == [0, 0, 1, 1] and humans.response[0, 3] == -1


def test_further_images_of_a_model_are_left_out_and_missing_ones_named(trials: Path) -> None:
    table = read_trials(trials)
    humans = line_up(exclude(table, {"noise": ["0.9"]}), "noise")
    model = table[table["observer"] == "ann"]
    assert line_up(model, "noise", humans).images.tolist() == ["c", "d"]
    with pytest.raises(InputError, match=r"ann has no trial of 1 of 2 images .*first: d"):
        line_up(model[model["image"] != "d"], "noise", humans)
    other = model.assign(category=model["category"].replace({"dog": "cat"}))
    with pytest.raises(InputError, match=r"image d in condition 0\.1 is cat for ann and dog"):
        line_up(other, "noise", humans)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["kat,cat,1,a"], r"unknown category 'kat'.*Did you mean cat.*line 2, column response"),
        (["cat,zebra,1,a"], r"unknown category 'zebra'.*column category"),
        (["cat,cat,1,a", "dog,cat,1,a"], r"line 3: observer ann has a second trial of image a"),
        (["cat,cat,,a"], r"line 2: column condition is empty"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[str], words: str) -> None:
    file = session(tmp_path / "noise", "ann", rows)
    with pytest.raises(InputError, match=words) as error:
        read_trials(tmp_path)
    assert str(file) in str(error.value)


def test_bad_files_are_named(tmp_path: Path) -> None:
    file = session(tmp_path / "noise", "ann", ROWS)
    text = file.read_text()
    for broken, words in (
        (text.replace("object_response", "answer"), r"response \(or object_response\) is missing"),
        (text.replace("Session", "observer"), "column observer is there twice"),
        (text.replace("0.5,cat", "fast,cat"), "line 2: column rt is no number"),
        (text.replace("_0.90_cat", "_0.50_cat"), "condition is not what the name of the image"),
        (HEAD, "holds no trials, only a header"),
        ("", "is empty"),
        ('"' + text, "cannot be read as a table|is missing"),
    ):
        file.write_text(broken)
        with pytest.raises(InputError, match=words) as error:
            read_trials(tmp_path)
        assert file.name in str(error.value)
    file.unlink()
    with pytest.raises(InputError, match="noise holds no sessions"):
        read_trials(tmp_path)
    (tmp_path / "noise" / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:40])
    with pytest.raises(InputError, match=r"cut\.csv\.gz cannot be read"):
        read_trials(tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="nothing holds no trials"):
        read_trials(tmp_path / "nothing")
    with pytest.raises(InputError, match="nowhere does not exist"):
        read_trials(tmp_path / "nowhere")


def test_humans_who_saw_other_images_are_named(tmp_path: Path) -> None:
    session(tmp_path / "noise", "ann", ROWS)
    session(tmp_path / "noise", "bob", [*ROWS[:3], "dog,dog,0.1O,d"])  # a letter for a zero
    with pytest.raises(InputError, match=r"observer \w+ has no trial of 1 of 5 images.*misspelt"):
        line_up(read_trials(tmp_path), "noise")
    with pytest.raises(InputError, match="no trials of experiment hues"):
        line_up(read_trials(tmp_path), "hues")
    session(tmp_path / "noise", "bob", [*ROWS[:3], "dog,cat,0.10,d"])
    with pytest.raises(InputError, match=r"image d in condition 0\.1 has another right category"):
        line_up(read_trials(tmp_path), "noise")
