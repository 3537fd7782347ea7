"""Files are whole or absent: after an error, a full disk, a SIGKILL; locks end with the process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from striate.core import files
from striate.core.cache import Cache, default_cache
from striate.core.errors import InputError, StriateError
from striate.core.files import atomic_path, locked, read_json, write_json, write_text
from tests.core.worker import KEY, compete
from tests.limits import HANG


@contextlib.contextmanager
def stuck(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, at the moment where it must not die; killed at the end at the latest."""
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.core.worker", *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.wait(HANG)


def test_success_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "deep" / "down" / "a.txt"
    write_text(target, "old")
    write_text(target, "new, grüß")
    assert target.read_text(encoding="utf-8") == "new, grüß"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]
    assert target.stat().st_mode & 0o777 == 0o644  # others of the lab can read it


def test_an_exception_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_exception_leaves_no_half_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "entry") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_whole(tmp_path):
    with atomic_path(tmp_path / "entry") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("x")
        assert not (tmp_path / "entry").exists()
    assert (tmp_path / "entry" / "a").read_text() == "x"


def test_a_folder_that_is_there_is_not_replaced(tmp_path):
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "mine").write_text("x")
    with pytest.raises(StriateError, match="cannot write"), atomic_path(tmp_path / "entry") as t:
        t.mkdir()
    assert (tmp_path / "entry" / "mine").read_text() == "x"


def test_sigkill_while_writing_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with stuck("write", str(target)) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    assert target.read_text() == "old"
    write_text(target, "new")
    assert target.read_text() == "new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(tmp_path, code):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(StriateError) as error, atomic_path(target) as temporary:
        temporary.write_text("half")
        raise OSError(code, "No space left on device")
    text = str(error.value)
    assert f"disk full while writing {target}" in text
    assert "GB free" in text
    assert "Free some space" in text
    assert error.value.exit_code == 1
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_disk_full_at_the_last_moment(tmp_path, monkeypatch):
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StriateError, match="disk full while writing"):
        write_text(tmp_path / "a.txt", "new")
    assert list(tmp_path.iterdir()) == []


def test_disk_full_in_a_folder_that_is_not_there_yet(tmp_path):
    error = files.explain_os_error(OSError(errno.ENOSPC, ""), tmp_path / "not" / "yet" / "a")
    assert "GB free" in str(error)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_read_only_folder(tmp_path, monkeypatch, code):
    def mkstemp(**_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.tempfile, "mkstemp", mkstemp)
    with pytest.raises(InputError, match=r"cannot write .*a\.txt: .*a folder you can write to"):
        write_text(tmp_path / "a.txt", "x")


def test_below_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    for attempt in (
        lambda: write_text(tmp_path / "file" / "a.txt", "x"),
        lambda: write_text(tmp_path / "file" / "deeper" / "a.txt", "x"),
        lambda: Cache(tmp_path / "file").get("kind", KEY, lambda _: None),
        lambda: locked(tmp_path / "file" / "lock").__enter__(),
    ):
        with pytest.raises(InputError, match="Choose a folder you can write to"):
            attempt()


def test_another_fault_of_the_system_is_ours(tmp_path):
    with pytest.raises(StriateError) as error, atomic_path(tmp_path / "a"):
        raise OSError(errno.EIO, "Input/output error")
    assert not isinstance(error.value, InputError)
    assert "Input/output error" in str(error.value)


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None], "a": Path("x/y")})
    assert read_json(tmp_path / "a.json") == {"b": [1, 2.5, None], "a": "x/y"}
    assert (tmp_path / "a.json").read_text().index('"b"') < 5  # in the order given


def test_broken_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1')
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"b\.json does not exist"):
        read_json(tmp_path / "b.json")


def is_held(path: Path) -> bool:
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_lock_ends_with_its_process(tmp_path):
    lock = tmp_path / "a.lock"
    with stuck("lock", str(lock)) as process:
        assert is_held(lock)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert not is_held(lock)
    with locked(lock):
        assert is_held(lock)
    assert not is_held(lock)


def test_a_lock_ends_with_an_exception(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a.lock"):
        raise ZeroDivisionError
    assert not is_held(tmp_path / "a.lock")


def test_cache_builds_once_and_keeps_the_key(tmp_path):
    builds = []

    def build(folder: Path) -> None:
        builds.append(folder)
        np.save(folder / "a.npy", np.arange(3))

    cache = Cache(tmp_path)
    key = {"weights": "abc", "taps": ["a", "b"]}
    entry = cache.get("features", key, build)
    assert cache.get("features", dict(reversed(key.items())), build) == entry
    assert len(builds) == 1
    assert read_json(entry / "key.json") == key
    np.testing.assert_array_equal(np.load(entry / "a.npy"), np.arange(3))
    other = cache.get("features", {**key, "weights": "abd"}, build)
    assert other != entry
    assert cache.get("images", key, build) != entry
    assert len(builds) == 3


def test_a_build_that_fails_leaves_no_entry(tmp_path):
    cache = Cache(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        cache.get("kind", KEY, fail)
    assert not cache.path("kind", KEY).exists()
    entry = cache.get("kind", KEY, lambda folder: (folder / "b").touch())
    assert sorted(p.name for p in entry.iterdir()) == ["b", "key.json"]


def test_two_processes_on_one_cache_build_once(tmp_path):
    log = tmp_path / "log"
    arguments = (str(tmp_path / "cache"), str(log))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = [pool.apply_async(compete, arguments) for _ in range(2)]
        assert [result.get(timeout=HANG) for result in results] == ["whole", "whole"]
        pool.close()
        pool.join()
    assert log.read_text() == "built\n"


def test_sigkill_while_building_leaves_no_entry_and_no_litter(tmp_path):
    cache = Cache(tmp_path)
    with stuck("build", str(tmp_path)) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    entry = cache.path("kind", KEY)
    assert not entry.exists()
    assert len(list(entry.parent.glob(f".{entry.name}.*"))) == 1  # what it had begun
    assert cache.get("kind", KEY, lambda folder: (folder / "a").touch()) == entry
    assert {p.name for p in entry.parent.iterdir()} == {entry.name, f"{entry.name}.lock"}


def test_the_cache_lies_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "mine"))
    assert Cache().root == default_cache() == tmp_path / "mine"
    monkeypatch.delenv("STRIATE_CACHE")
    assert default_cache() == Path.home() / ".cache" / "striate"
