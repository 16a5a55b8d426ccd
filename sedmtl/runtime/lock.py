"""One process at a time in a folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import lock_descriptor

from sedmtl.runtime.atomic import make_folder
from sedmtl.runtime.errors import SedmtlError

NAME = ".sedmtl.lock"


@contextmanager
def folder_lock(folder: Path, command: str) -> Iterator[None]:
    """Keep other processes out of a folder, which is made, while the block runs.

    The system releases the lock with the process, however that ends; the file stays.

    Args:
        folder: What only this process may write into.
        command: What this process is, for the sentence that others get: 'sedmtl mix'.

    Raises:
        SedmtlError: Another process has the lock; names it.
    """
    make_folder(folder)
    path = folder / NAME
    try:
        file = path.open("ab+", buffering=0)
    except OSError as error:
        raise SedmtlError(f"cannot write {path}: {error.strerror}") from error
    with file:
        try:
            is_ours = lock_descriptor(file.fileno(), blocking=False)
        except OSError as error:
            raise SedmtlError(f"cannot lock {path}: {error.strerror}") from error
        if not is_ours:
            file.seek(1)  # Windows lets nobody else read the byte that is locked
            owner = file.read().decode(errors="replace").strip() or "another process"
            raise SedmtlError(f"{folder} is in use by {owner}: wait until it has ended, or stop it")
        where = f"process {os.getpid()} on {socket.gethostname()}"
        with suppress(OSError):  # a full disk takes the owner's name from the lock, not its effect
            file.truncate(0)
            file.write(f"\n'{command}', {where}, since {_now()}\n".encode())
        yield


def _now() -> str:
    return datetime.now().astimezone().isoformat(" ", "seconds")
