"""Keeping freed memory in the process: on a CPU, PyTorch asks for the same blocks at every step."""

from __future__ import annotations

import ctypes
import sys

# Names and values of glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 64 * 2**20


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse large blocks instead of giving them back after each step.

    By default each large tensor is mapped anew and its pages are faulted in one by one. With this
    setting the memory of the process stays at its peak. It is meant for programs, not for
    libraries: the command line calls it.

    Returns:
        Whether glibc took the settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    accepted = [
        mallopt(M_MMAP_MAX, 0),
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(M_TOP_PAD, TOP_PAD),
    ]
    return all(accepted)
