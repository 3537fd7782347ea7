"""Keep freed memory in the process: PyTorch on a CPU asks for the same large blocks each step."""

from __future__ import annotations

import ctypes
import sys

# Names and values of glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 64 * 2**20


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse large blocks instead of giving them back after each step.

    By default each large tensor is mapped anew and its pages are faulted in one by one. The
    memory of the process then stays at its peak. Meant for programs, not for libraries: the
    command line calls it.

    Returns:
        Whether there was a glibc to tell.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    done = [
        mallopt(M_MMAP_MAX, 0),
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(M_TOP_PAD, TOP_PAD),
    ]
    return all(done)
