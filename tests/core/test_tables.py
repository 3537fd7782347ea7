"""Tables as others write them: every reader of one refuses the same, by file, line and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.core.errors import InputError
from striate.core.names import clean_hemisphere, clean_name
from striate.core.tables import read_table
from striate.data import line_up, read, read_trials
from striate.data.images.labeled import Labeled
from striate.data.readers.folder import read_responses
from striate.evaluate.units.published_histograms import read_histograms
from tests.data.images.test_labeled import encoded, pictures
from tests.data.layouts import write_freeman_ziemba, write_images

TRIALS = "observer,response,category,condition,image"


def folder(root: Path) -> tuple[Path, Callable[[], object]]:
    ids = write_images(root / "images", range(3))
    rows = [f"{i},{k}.5,{9 - k}.25" for k, i in enumerate(ids)]
    (root / "responses.csv").write_text("\n".join(["stimulus_id,u1,u2", *rows]) + "\n")
    (root / "units.csv").write_text("unit_id,roi_V1,noise_ceiling\nu1,1,.5\nu2,0,.25\n")
    return root, lambda: read("folder", root)


def responses(root: Path) -> tuple[Path, Callable[[], object]]:
    root, act = folder(root)
    return root / "responses.csv", act


def units(root: Path) -> tuple[Path, Callable[[], object]]:
    root, act = folder(root)
    return root / "units.csv", act


def trials(root: Path) -> tuple[Path, Callable[[], object]]:
    root.mkdir(exist_ok=True)
    file = root / "ann.csv"
    file.write_text(f"{TRIALS}\nann,cat,cat,1,NA\nann,dog,cat,1,007\n")
    return file, lambda: read_trials(file)


def histogram(root: Path) -> tuple[Path, Callable[[], object]]:
    root.mkdir(exist_ok=True)
    file = root / "published.csv"
    file.write_text("property,low,high,count\nmax_dc,0,1,5\nmax_dc,1,2,7\n")
    return file, lambda: read_histograms(file)


def textures(root: Path) -> tuple[Path, Callable[[], object]]:
    write_freeman_ziemba(root, "netcdf", cells=(1, 1), repetitions=2)
    return root / "stimulus_set.csv", lambda: read("freeman_ziemba", root)


READERS = [responses, units, trials, histogram]


@pytest.mark.parametrize("make", [*READERS, textures])
def test_rows_with_more_or_fewer_fields_than_names(tmp_path: Path, make: Callable) -> None:
    file, act = make(tmp_path / "data")
    act()
    text = file.read_text()
    header, *rows = text.splitlines()
    n = len(header.split(","))
    for bad, line, fields in (
        ([header, *(row + "," for row in rows)], 2, rf"{n + 1} fields, more"),  # pandas' index
        ([header, *rows[:-1], rows[-1] + ","], len(rows) + 1, rf"{n + 1} fields, more"),
        ([header, rows[0].rpartition(",")[0], *rows[1:]], 2, rf"{n - 1} fields, fewer"),
        ([header, "", rows[0], rows[1].rpartition(",")[0]], 4, rf"{n - 1} fields, fewer"),
    ):
        file.write_text("\n".join(bad) + "\n")
        place = rf"{file.name}, line {line}: {fields} than the {n} names"
        with pytest.raises(InputError, match=place):
            act()


@pytest.mark.parametrize("make", [responses, units])
def test_a_column_twice_or_without_a_name(tmp_path: Path, make: Callable) -> None:
    file, act = make(tmp_path)
    header, *rows = file.read_text().splitlines()
    first = header.split(",")[1]
    for name, message in (
        (first, rf"occur .*'{first}' in column 2 and column 4"),
        (f" {first}", rf"in column 2 and column 4, as '{first}' and ' {first}'"),
        ("", r"a column without a name \(column 4 of 4"),
        ("Unnamed: 0", r"a column without a name \(column 4 of 4"),
    ):
        file.write_text("\n".join([f"{header},{name}", *(f"{row},1" for row in rows)]))
        with pytest.raises(InputError, match=message):
            act()


def test_the_table_of_units_of_the_report(tmp_path: Path) -> None:
    """Rows that end in a comma made ceilings of ids, and moved ROIs by a column."""
    file, act = units(tmp_path)
    file.write_text("unit_id,noise_ceiling,roi_V1,roi_V2\nu1,.5,1,0,\nu2,.25,0,1,\n")
    with pytest.raises(InputError, match=r"units\.csv, line 2: 5 fields, more than the 4 names"):
        act()
    file.write_text("unit_id,noise_ceiling,roi_V1,roi_V2\nu1,.5,1,0\nu2,.25,0,1\n")
    responses = next(iter(act().values())).responses
    assert responses.noise_ceiling.tolist() == [0.5, 0.25]
    assert responses.data.coords["roi_V1"].values.tolist() == [True, False]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "stimulus id in line 3 is empty"),
        ('" "', "stimulus id in line 3 is empty"),
        ("a0000", r"subject \w+: 1 stimulus ids .*'a0000' in line 2 and line 3"),
        ('"a\n0"', "1 without an image"),
    ],
)
def test_ids_of_a_table(tmp_path: Path, cell: str, message: str) -> None:
    file, act = responses(tmp_path)
    file.write_text(file.read_text().replace("a0001", cell))
    with pytest.raises(InputError, match=message):
        act()


def test_an_empty_id_among_lines(tmp_path: Path) -> None:
    np.save(tmp_path / "responses.npy", np.eye(2))
    (tmp_path / "stimulus_ids.txt").write_text("a\n\nb\n\n")
    with pytest.raises(InputError, match=r"stimulus_ids\.txt.*stimulus id in line 2 is empty"):
        read_responses(tmp_path / "responses.npy", "ann")
    (tmp_path / "stimulus_ids.txt").write_text("a\u2028b\r\nb\x85\r\n\r\n")
    assert read_responses(tmp_path / "responses.npy", "ann").stimulus_ids == ["a\u2028b", "b"]


def test_words_among_numbers_are_named_with_their_line(tmp_path: Path) -> None:
    file, act = responses(tmp_path)
    file.write_text(file.read_text().replace("7.25", "lost"))
    with pytest.raises(InputError, match=r"column 'u2' holds words \(first: 'lost' in line 4\)"):
        act()


def test_true_and_false_are_numbers_with_or_without_gaps(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("stimulus_id,a,b\nx,True,\ny,False,\nz,,\n")
    pd.DataFrame({"stimulus_id": list("xyz"), "a": [True, False, None], "b": None}).to_parquet(
        tmp_path / "t.parquet"
    )
    for kind in ("csv", "parquet"):
        got = read_table(tmp_path / f"t.{kind}", text=["stimulus_id"]).numbers(
            ["a", "b"], "numbers"
        )
        np.testing.assert_array_equal(got, [[1, np.nan], [0, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_images_and_observers_called_like_nothing(tmp_path: Path, suffix: str) -> None:
    names = ["NA", "null", "None", "nan", "1e5", "007", "True", "e\u0301"]
    table = pd.DataFrame(
        {"observer": "NA", "response": "cat", "category": "cat", "condition": "0.5", "image": names}
    )
    if suffix == "csv":
        table.to_csv(tmp_path / "t.csv", index=False)
    else:
        table.to_parquet(tmp_path / "t.parquet")
    trials = read_trials(tmp_path / f"t.{suffix}")
    assert trials["image"].tolist() == [*names[:-1], "\u00e9"]
    assert line_up(trials, tmp_path.name).names == ("NA",)
    empty = table.assign(image=[*names[:2], None, *names[3:]])
    if suffix == "csv":
        empty.to_csv(tmp_path / "t.csv", index=False)
    else:
        empty.to_parquet(tmp_path / "t.parquet")
    place = "line 4" if suffix == "csv" else "row 3"
    with pytest.raises(InputError, match=f"{place}: column image is empty"):
        read_trials(tmp_path / f"t.{suffix}")


def test_labels_called_like_nothing_and_in_two_spellings(tmp_path: Path) -> None:
    images = [encoded(image) for image in pictures(6)]
    labels = ["NA", "None", "e\u0301 ", "\u00e9", "NA ", "nan"]
    pd.DataFrame({"image": images, "label": labels}).to_parquet(tmp_path / "t.parquet")
    labeled = Labeled.read(tmp_path / "t.parquet")
    assert labeled.classes == ("NA", "None", "nan", "\u00e9")
    assert labeled.labels.tolist() == [0, 1, 3, 3, 0, 2]
    for name in ("cat", "cat "):
        (tmp_path / "f" / name).mkdir(parents=True)
        (tmp_path / "f" / name / "x.png").write_bytes(images[0])
    with pytest.raises(
        InputError, match=r"1 classes occur more than once: cat \(.*as 'cat' and 'cat '"
    ):
        Labeled.read(tmp_path / "f")


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_cleaning_a_name_twice_changes_nothing(text: str) -> None:
    once = clean_name(text)
    assert clean_name(once) == once == clean_name(f" {text}\u200b\n")
    assert clean_name(text.encode("utf-8", "replace")) == clean_name(
        text.encode("utf-8", "replace").decode()
    )
    side = clean_hemisphere(text)
    assert clean_hemisphere(side) == side == clean_hemisphere(f"\t{text}")


@pytest.mark.parametrize("side", ["l", "r"])
def test_hemispheres_in_any_usual_spelling(side: str) -> None:
    word = {"l": "left", "r": "right"}[side]
    spellings = [
        side, f"{side}h", word, f"{side}.", f"hemi-{side.upper()}", f"hemi_{side}",
        f"{word}-hemi", f"{word} hemi", f"{word}_hemisphere", f"{side.upper()} Hemisphere",
        f"{word.upper()}  HEMI ", f"hemisphere {word}",
    ]  # fmt: skip
    assert {clean_hemisphere(text) for text in spellings} == {f"{side}h"}
    others = ("both", "leftover", "1", "hemi", "rl", "l1")
    assert all(clean_hemisphere(o) == o for o in others)
