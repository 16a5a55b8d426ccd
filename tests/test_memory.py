"""The process keeps freed memory instead of returning it to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from sedmtl.runtime import process

CODE = """
import resource, sys
import numpy as np
from sedmtl.runtime import process
if sys.argv[1] == "kept":
    process.keep_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    return [np.ones(320_000, np.float32) for _ in range(12)]
work()
before = faults()
for _ in range(20):
    work()
print(faults() - before)
"""


def faults_of(how):
    command = [sys.executable, "-c", CODE, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_arrays_as_large_as_those_before_take_no_new_pages():
    pages_of_work = 12 * 320_000 * 4 // 4096
    assert faults_of("returned") > 10 * pages_of_work
    assert faults_of("kept") < pages_of_work


def test_with_another_c_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(process.ctypes, "CDLL", lambda _: object())
    process.keep_memory.__wrapped__()
