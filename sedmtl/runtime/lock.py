"""Locks that let one process at a time use a folder or a file."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from filelock import lock_descriptor

from sedmtl.runtime.atomic import make_folder
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.progress import say
from sedmtl.runtime.regular import open_own

NAME = ".sedmtl.lock"


@contextmanager
def locked_file(path: Path) -> Iterator[tuple[IO[bytes], bool]]:
    """Open a file for reading and appending, and try to lock it until the block ends.

    Yields:
        The unbuffered file, and whether it was locked; False if another process holds the lock.

    Raises:
        SedmtlError: The file cannot be written or locked.
    """
    make_folder(path.parent)
    with explained(f"cannot write {path}"):
        file = open_own(path, "a+b", buffering=0)
    with file:
        with explained(f"cannot lock {path}"):
            is_free = lock_descriptor(file.fileno(), blocking=False)
        yield file, is_free


@contextmanager
def folder_lock(folder: Path, command: str, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder for a command such as 'sedmtl mix', creating it if needed.

    The system releases the lock when the process ends, however it ends; the file stays. With
    `wait`, the command waits for a process that holds it.

    Raises:
        SedmtlError: Another process holds the lock; the message names it and its command.
    """
    path = folder / NAME
    with locked_file(path) as (file, is_ours):
        if not is_ours:
            file.seek(1)  # Windows lets no other process read the locked byte
            owner = file.read().decode(errors="replace").strip() or "another process"
            if not wait:
                raise SedmtlError(f"{folder} is in use by {owner}: wait for it to end, or stop it")
            say(f"waiting for {owner}, which uses {folder}")
            with explained(f"cannot lock {path}"):
                lock_descriptor(file.fileno())
        where = f"process {os.getpid()} on {socket.gethostname()}"
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        with suppress(OSError):  # the lock works even if a full disk keeps its owner's name out
            file.truncate(0)
            file.write(f"\n'{command}', {where}, since {since}\n".encode())
        yield
