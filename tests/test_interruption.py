"""Ctrl-C ends a command even during a computation that Python cannot interrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from sedmtl.runtime.process import EXIT_CODE, ending_soon

# The key derivation runs for minutes in one Python instruction; if Ctrl-C comes just before it,
# the clean-up takes as long.
DEEP = """
import hashlib
from sedmtl.runtime.process import ending_soon
def compute():
    hashlib.pbkdf2_hmac("sha512", b"", b"", 1_000_000_000)
with ending_soon("stopped: run it again"):
    try:
        print("computing", flush=True)
        compute()
    finally:
        compute()
"""

# Interrupted between two instructions, it has time to clean up.
SHALLOW = """
import sys
from sedmtl.runtime.process import ending_soon
try:
    with ending_soon("stopped: run it again"):
        print("computing", flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    print("tidied up")
"""


def interrupt(code):
    """Run code, send Ctrl-C once it computes; returns exit code, stdout, stderr."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "computing\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_computation_that_python_cannot_interrupt_is_ended_with_the_sentence():
    assert interrupt(DEEP) == (EXIT_CODE, "", "\nstopped: run it again\n")


def test_what_python_can_interrupt_ends_by_itself():
    assert interrupt(SHALLOW) == (0, "tidied up\n", "")


def test_the_signals_are_as_before_when_the_block_has_ended():
    before = signal.set_wakeup_fd(-1)
    with pytest.raises(ZeroDivisionError), ending_soon("stopped"):
        raise ZeroDivisionError
    assert signal.set_wakeup_fd(before) == -1


def test_in_another_thread_it_does_nothing():
    done = []

    def work():
        with ending_soon("stopped"):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
