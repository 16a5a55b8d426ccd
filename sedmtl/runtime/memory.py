"""Freed memory that stays with the process. A leaf.

The C library of most Linux systems (glibc) returns large arrays to the system as soon as they are
freed, and gets every new one page by page, each page cleared. Where every clip takes a dozen arrays
of a megabyte, and a training step gigabytes, that is much of the time: kept, two threads rendered
1.8 times as many mixtures a second, and a training step at paper size took 0.74 of the time
(docs/performance.md).
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Of malloc.h; see mallopt(3)."""

TOP_PAD = 64 << 20
"""Bytes that the heap grows by at least."""


@lru_cache(maxsize=1)
def keep() -> None:
    """Have this process keep what it frees; does nothing with another C library."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)  # no array outside the heap
    mallopt(M_TRIM_THRESHOLD, -1)  # nothing of the heap is returned
    mallopt(M_TOP_PAD, TOP_PAD)
