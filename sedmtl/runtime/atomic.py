"""Atomic writes: a file is complete or absent."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import lock_descriptor

from sedmtl.runtime.errors import explained
from sedmtl.runtime.regular import open_own, require_own
from sedmtl.runtime.text import encoded

POLL_S = 0.001
"""Interval between attempts to lock a file that another process is writing (for milliseconds)."""

PATIENCE_S = 8.0
"""After which a lock is taken for one that is not released."""


def make_folder(path: Path) -> None:
    """Create a folder and its parents; a `SedmtlError` if that is impossible."""
    with explained(f"cannot write into {path}"):
        path.mkdir(parents=True, exist_ok=True)


def remove_file(path: Path) -> None:
    """Remove a file if it exists; a `SedmtlError` if that is impossible."""
    with explained(f"cannot remove {path}"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as `write_bytes` does."""
    write_bytes(path, encoded(text))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a hidden name, then rename it; creates its folder.

    Raises:
        SedmtlError: The file cannot be written, or a link, a pipe or a device stands in its place
            or in that of the hidden file; the old file, if any, is untouched.
    """
    with explained(f"cannot write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        require_own(path, alone=False)
        _replace(path, content)


@contextmanager
def hidden_file(path: Path) -> Iterator[Path]:
    """An empty hidden file beside a path, to be written in parts and then renamed to it.

    No other process writes it meanwhile. If it is still there at the end, it is removed.

    Raises:
        SedmtlError: It cannot be written, by what is in the block either.
    """
    partial = path.with_name(f".{path.name}.part")
    with explained(f"cannot write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened_alone(partial) as file:
            if os.name == "nt":  # Windows renames no open file, so the lock ends here
                file.close()
            try:
                yield partial
            finally:
                if file.closed or _is_at(partial, file):
                    partial.unlink(missing_ok=True)


def lock_soon(file: IO[bytes]) -> None:
    """Lock an open file, which others lock for moments only.

    Raises:
        OSError: It was not to be had within `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not _try_to_lock(file):
        if time.monotonic() > deadline:
            raise OSError(errno.EAGAIN, f"another process holds {file.name}: end it")
        time.sleep(POLL_S)


def _try_to_lock(file: IO[bytes]) -> bool:
    try:
        return lock_descriptor(file.fileno(), blocking=False)
    except OSError:  # a file system without locks
        return True


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.part")
    with _opened_alone(partial) as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            partial.unlink()  # frees the space on a full disk
            raise
        if os.name == "nt":  # Windows renames no open file, so the lock ends here
            file.close()
        partial.replace(path)


@contextmanager
def _opened_alone(path: Path) -> Iterator[IO[bytes]]:
    """Open an empty file that no other process or thread writes until it is closed or renamed."""
    while True:
        with open_own(path, "ab") as file:
            lock_soon(file)
            # Meanwhile its former owner may have renamed it.
            if _is_at(path, file):
                file.truncate(0)
                yield file
                return


def _is_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
