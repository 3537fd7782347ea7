"""The house of tests: warnings are errors in the processes that tests start, too."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import warnings

import pytest

from tests.limits import HANG


def warn() -> None:
    warnings.warn("something is off", RuntimeWarning, stacklevel=1)


def test_a_warning_fails_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import warnings; warnings.warn('something is off')"],
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 1
    assert "UserWarning: something is off" in done.stderr


@pytest.mark.parametrize("way", ["spawn", "forkserver"])
def test_a_warning_fails_a_worker(way: str) -> None:
    with multiprocessing.get_context(way).Pool(1) as pool:
        with pytest.raises(RuntimeWarning, match="something is off"):
            pool.apply_async(warn).get(timeout=HANG)
        pool.close()
        pool.join()
