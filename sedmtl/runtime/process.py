"""Signals and memory of this process. Imports nothing from this package."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

GRACE_S = 0.5
"""Time an interrupted command has to exit by itself."""

EXIT_CODE = 130

ENDING = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    if hasattr(signal, name)
]
"""Signals that end a process."""

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Constants of malloc.h; see mallopt(3)."""

TOP_PAD = 64 << 20
"""Smallest number of bytes by which the heap grows."""


@contextmanager
def ending_soon(sentence: str) -> Iterator[None]:
    """End the process within about a second of Ctrl-C, whatever the block computes.

    Python raises KeyboardInterrupt between its own instructions, and the backward pass at the
    paper's size is one instruction of many seconds on a CPU. Exiting here leaves the same state as
    a kill; every stage resumes from that.

    Args:
        sentence: Printed on stderr if the process does not exit by itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = threading.Event()
    ours, signals = socket.socketpair()
    signals.setblocking(False)
    before = signal.set_wakeup_fd(signals.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(ours, ended, sentence), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        signals.close()
        watcher.join()
        ours.close()


def _watch(signals: socket.socket, ended: threading.Event, sentence: str) -> None:
    """Read each signal's number, which the system writes even while Python is busy."""
    while number := signals.recv(1):
        if number[0] == signal.SIGINT and not ended.wait(GRACE_S):
            # Bypasses Python's streams, whose locks the main thread may hold. A progress bar may
            # have hidden the cursor.
            cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
            os.write(2, f"{cursor}\n{sentence}\n".encode())
            os._exit(EXIT_CODE)


@contextmanager
def restored_signals(*, sigterm_interrupts: bool = False) -> Iterator[None]:
    """Restore the handlers of the ending signals after the block; does nothing in another thread.

    Args:
        sigterm_interrupts: Whether SIGTERM raises KeyboardInterrupt in the block, like Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in ENDING}
    if sigterm_interrupts:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@lru_cache(maxsize=1)
def keep_memory() -> None:
    """Keep freed memory in this process; does nothing with a C library other than glibc.

    glibc returns large arrays to the system as soon as they are freed and allocates new ones page
    by page, clearing each page. Every clip needs a dozen arrays of a megabyte, and a training step
    gigabytes: with the memory kept, two threads rendered 1.8 times as many mixtures per second, and
    a training step at paper size took 0.74 of the time (docs/performance.md).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)  # no array outside the heap
    mallopt(M_TRIM_THRESHOLD, -1)  # the heap never shrinks
    mallopt(M_TOP_PAD, TOP_PAD)
