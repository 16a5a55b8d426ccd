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
"""Interval between attempts to lock a file; writers hold the lock for milliseconds."""

PATIENCE_S = 8.0
"""Time after which to give up waiting for a lock."""


def make_folder(path: Path) -> None:
    """Create a folder and its parents; raises a `SedmtlError` if that is impossible."""
    with explained(f"cannot write into {path}"):
        path.mkdir(parents=True, exist_ok=True)


def remove_file(path: Path) -> None:
    """Remove a file if it exists; raises a `SedmtlError` if that is impossible."""
    with explained(f"cannot remove {path}"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text atomically; see `write_bytes`."""
    write_bytes(path, encoded(text))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a hidden name, then rename it; creates its folder.

    Raises:
        SedmtlError: The file cannot be written, or its path or that of the hidden file is a link,
            a pipe or a device; the old file, if any, is untouched.
    """
    with explained(f"cannot write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        require_own(path, alone=False)
        _replace(path, content)


@contextmanager
def hidden_file(path: Path) -> Iterator[Path]:
    """Yield an empty hidden file in a path's folder, to write in parts and then rename to the path.

    No other process can write it meanwhile. If it still exists at the end, it is removed.

    Raises:
        SedmtlError: The file cannot be written; any `OSError` in the block raises this, too.
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
    """Lock an open file that other processes lock only briefly.

    Raises:
        OSError: The lock was not released within `PATIENCE_S`.
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
    """Open and empty a file that no other process or thread can write until it is closed."""
    while True:
        with open_own(path, "ab") as file:
            lock_soon(file)
            # Its previous owner may have renamed it in the meantime.
            if _is_at(path, file):
                file.truncate(0)
                yield file
                return


def _is_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
