"""Atomic writes: a file is complete or absent."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor

from sedmtl.runtime.errors import explained

POLL_S = 0.001
"""Interval between attempts to lock a file that another process is writing (for milliseconds)."""


def make_folder(path: Path) -> None:
    """Create a folder and its parents; a `SedmtlError` if that is impossible."""
    with explained(f"cannot write into {path}"):
        path.mkdir(parents=True, exist_ok=True)


def is_special(path: Path) -> bool:
    """Whether it is a device or a pipe: reading may block, and it must not be replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def remove_file(path: Path) -> None:
    """Remove a file if it exists; a `SedmtlError` if that is impossible."""
    with explained(f"cannot remove {path}"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a hidden name, then rename it; creates its folder.

    A link is kept and its target replaced; a device or a pipe receives the content directly.

    Raises:
        SedmtlError: The file cannot be written; the old file, if any, is untouched.
    """
    with explained(f"cannot write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_special(path):
            path.write_bytes(content)
        else:
            _replace(path.resolve() if path.is_symlink() else path, content)


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
def _opened_alone(path: Path) -> Iterator[BinaryIO]:
    """Open an empty file that no other process or thread writes until it is closed or renamed."""
    while True:
        with path.open("ab") as file:
            with suppress(OSError):  # a file system without locks
                lock_descriptor(file.fileno(), poll_interval=POLL_S)
            # Meanwhile its former owner may have renamed it.
            if _is_at(path, file):
                file.truncate(0)
                yield file
                return


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
