"""Regular files, in whose place anything may stand: a link, a pipe, a device.

Nothing here waits for a pipe. Writing follows no link, and changes no file that has a second name:
that may be a file of the user. Reading follows links.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from functools import partial
from pathlib import Path
from typing import IO, Any

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)


class IrregularError(OSError):
    """Something else is in the place of a file; `strerror` says what."""


def open_own(path: Path, mode: str, **how: Any) -> IO[Any]:
    """`open` for a file of ours that is written in place.

    Raises:
        OSError: As `open`; an `IrregularError` if it is a link, a pipe or a device, or has a
            second name.
    """
    return open(path, mode, opener=partial(_open, follow=False), **how)


def open_to_read(path: Path, mode: str = "rb", **how: Any) -> IO[Any]:
    """`open` for reading.

    Raises:
        OSError: As `open`; an `IrregularError` if it is a pipe or a device.
    """
    return open(path, mode, opener=partial(_open, follow=True), **how)


def read_bytes(path: Path) -> bytes:
    """The content of a file; raises as `open_to_read` does."""
    with open_to_read(path) as file:
        content: bytes = file.read()
    return content


def read_text(path: Path) -> str:
    """The text of a file in UTF-8; raises as `open_to_read` does, or a `UnicodeDecodeError`."""
    return read_bytes(path).decode()


def own_descriptor(path: Path) -> int | None:
    """The number of `/dev/stdout` and its like, which may be a file; None of another path."""
    names = {"/dev/stdin": "0", "/dev/stdout": "1", "/dev/stderr": "2"}
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", str(path))
    number = names.get(str(path)) or (found and found[1])
    return int(number) if number else None


def is_special(path: Path) -> bool:
    """Whether it is, or links to, a device or a pipe, where reading may block; or `/dev/stdout`."""
    if own_descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def require_own(path: Path, *, alone: bool = True) -> None:
    """Raise what `open_own` raises if it cannot be written in place; nothing if it is not there.

    Args:
        path: The file, to be opened by a library.
        alone: Whether it must have no second name; False if it is to be replaced.
    """
    _require(path, follow=False, alone=alone)


def require_readable(path: Path) -> None:
    """Raise what `open_to_read` raises for a pipe or a device, which a library is not to open."""
    _require(path, follow=True, alone=False)


def _require(path: Path, *, follow: bool, alone: bool) -> None:
    try:
        status = path.stat(follow_symlinks=follow)
    except OSError:
        return
    _check(status, str(path), alone=alone)


def _open(path: str, flags: int, *, follow: bool) -> int:
    """For `open`: the descriptor of a file that has passed the check, emptied only then."""
    _require(Path(path), follow=follow, alone=not follow)
    no_follow = 0 if follow else NO_FOLLOW
    descriptor = os.open(path, flags & ~os.O_TRUNC | no_follow | NO_WAIT, 0o666)
    try:
        _check(os.fstat(descriptor), path, alone=not follow)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check(status: os.stat_result, path: str, *, alone: bool) -> None:
    found = ""
    if stat.S_ISLNK(status.st_mode):
        found = "a link"
    elif not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        found = "a pipe or a device"
    elif alone and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        found = "one that has a second name (a hard link)"
    if found:
        raise IrregularError(errno.EPERM, f"expected a file, found {found}", path)
