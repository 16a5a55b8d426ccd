"""One process at a time in a folder; a lock ends with its owner."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock

OWNER = """\
import sys
from pathlib import Path
from sedmtl.runtime.lock import folder_lock
with folder_lock(Path(sys.argv[1]), 'sedmtl mix'):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path):
    """Another process, which holds the lock of tmp_path."""
    command = [sys.executable, "-c", OWNER, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_with_the_name_of_the_first(owner, tmp_path):
    with (
        pytest.raises(
            SedmtlError, match=rf"in use by 'sedmtl mix', process {owner.pid} on .*, since 20\d\d-"
        ),
        folder_lock(tmp_path, "sedmtl features"),
    ):
        pytest.fail("two processes in one folder")


@pytest.mark.usefixtures("owner")
def test_another_folder_is_free(tmp_path):
    with folder_lock(tmp_path / "other", "sedmtl mix"):
        assert (tmp_path / "other").is_dir()


def test_the_lock_of_a_killed_process_is_free(owner, tmp_path):
    owner.kill()
    owner.wait()
    with folder_lock(tmp_path, "sedmtl features"):
        [lock] = tmp_path.iterdir()
        [line] = lock.read_text().strip().splitlines()
        assert line.startswith(f"'sedmtl features', process {os.getpid()} on ")


def test_the_lock_is_free_after_the_block_and_after_an_error_in_it(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), folder_lock(tmp_path, "sedmtl features"):
            raise ZeroDivisionError


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "data").write_text("a file")
    with (
        pytest.raises(SedmtlError, match=r"cannot write into .*data"),
        folder_lock(tmp_path / "data", "sedmtl mix"),
    ):
        pass
