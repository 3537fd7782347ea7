"""Files below a folder: links are followed, loops end, what is not there is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.core.errors import InputError
from striate.core.walk import files_below


def names(root: Path) -> list[str]:
    files = files_below(root, lambda path: path.suffix == ".png")
    return [path.relative_to(root).as_posix() for path in files]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Two pictures beside the folder that is looked through."""
    for name in ("pool/a.png", "pool/deep/b.png", "root/own.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path / "pool"


def test_linked_folders_and_files_are_found_under_their_own_names(tmp_path, pool):
    root = tmp_path / "root"
    (root / "day1").symlink_to(pool)
    (root / "day2").symlink_to(Path("..") / "pool" / "deep")  # relative
    (root / "c.png").symlink_to(pool / "a.png")
    (tmp_path / "also").symlink_to(root)
    want = ["c.png", "day1/a.png", "day1/deep/b.png", "day2/b.png", "own.png"]
    assert names(root) == names(tmp_path / "also") == want


def test_loops_end_and_lose_nothing(tmp_path, pool):
    root = tmp_path / "root"
    (root / "me").symlink_to(root)
    (root / "sub").mkdir()
    (root / "sub" / "up").symlink_to("..")
    (root / "sub" / "s.png").write_bytes(b"x")
    (pool / "back").symlink_to(root)
    (root / "pool").symlink_to(pool)
    assert names(root) == ["own.png", "pool/a.png", "pool/deep/b.png", "sub/s.png"]


def test_folders_that_link_to_each_other_crosswise_end(tmp_path):
    for i in range(12):
        (tmp_path / f"f{i}").mkdir()
        for j in range(12):
            (tmp_path / f"f{i}" / f"to{j}").symlink_to(tmp_path / f"f{j}")
    with pytest.raises(InputError, match="more than 8 linked folders"):
        names(tmp_path)


@pytest.mark.parametrize("target", ["gone.png", "folder.png/x.png"])
def test_a_link_to_nothing_is_named(tmp_path, pool, target):
    link = tmp_path / "root" / "lost.png"
    link.symlink_to(pool / target)
    with pytest.raises(InputError, match=r"lost\.png is a link to .*which is not there"):
        names(tmp_path / "root")
    link.unlink()
    (tmp_path / "root" / "day3").symlink_to(pool / "day3")  # a folder that is not mounted
    with pytest.raises(InputError, match="day3 is a link to"):
        names(tmp_path / "root")
    (tmp_path / "root" / "day3").unlink()
    (tmp_path / "root" / "notes.txt").symlink_to(pool / target)  # not wanted: no matter
    assert names(tmp_path / "root") == ["own.png"]


def test_hidden_files_and_folders_are_left_out(tmp_path):
    for name in (".git/a.png", "__MACOSX/b.png", "._c.png", "x/.d.png", "x/e.png", "y.png/f.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(tmp_path) == ["x/e.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    (tmp_path / "shut").mkdir(mode=0)
    with pytest.raises(InputError, match="shut cannot be listed"):
        names(tmp_path)


@given(parents=st.lists(st.integers(0, 30), min_size=1, max_size=12), linked=st.data())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_tree_is_the_same_with_its_folders_moved_out_and_linked(
    tmp_path_factory, parents, linked
):
    """Any tree; any of its folders may lie elsewhere and be a link."""
    root = tmp_path_factory.mktemp("tree")
    folders, want = [root / "top"], []
    (root / "top").mkdir()
    for number, parent in enumerate(parents):
        place = folders[parent % len(folders)] / f"d{number}"
        if linked.draw(st.booleans()):
            (root / f"out{number}").mkdir()
            place.symlink_to(root / f"out{number}")
        else:
            place.mkdir()
        (place / "p.png").write_bytes(b"x")
        folders.append(place)
        want.append((place / "p.png").relative_to(root / "top").as_posix())
    assert sorted(names(root / "top")) == sorted(want)
