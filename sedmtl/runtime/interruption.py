"""Prompt response to Ctrl-C. Imports nothing from this package."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 0.5
"""Time an interrupted command has to end by itself."""

EXIT_CODE = 130


@contextmanager
def ending_soon(sentence: str) -> Iterator[None]:
    """End the process within about a second of Ctrl-C, whatever the block computes.

    Python raises KeyboardInterrupt between its own instructions, and the backward pass at the
    paper's size is one instruction of many seconds on a CPU. An interruption leaves what a kill
    leaves; every stage resumes from that.

    Args:
        sentence: Printed on stderr if the process has to be ended here.
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
            # Not through Python's streams, whose locks the main thread may hold. A progress bar may
            # have hidden the cursor.
            cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
            os.write(2, f"{cursor}\n{sentence}\n".encode())
            os._exit(EXIT_CODE)
