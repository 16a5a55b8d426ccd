"""Keeping freed memory in the process. Imports nothing from this package.

The C library of most Linux systems (glibc) returns large arrays to the system as soon as they are
freed and allocates new ones page by page, clearing each page. Every clip needs a dozen arrays of a
megabyte, and a training step gigabytes, so this takes much of the time. With the memory kept, two
threads rendered 1.8 times as many mixtures per second, and a training step at paper size took 0.74
of the time (docs/performance.md).
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Constants of malloc.h; see mallopt(3)."""

TOP_PAD = 64 << 20
"""Smallest number of bytes by which the heap grows."""


@lru_cache(maxsize=1)
def keep() -> None:
    """Keep freed memory in this process; does nothing with another C library."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)  # no array outside the heap
    mallopt(M_TRIM_THRESHOLD, -1)  # the heap never shrinks
    mallopt(M_TOP_PAD, TOP_PAD)
