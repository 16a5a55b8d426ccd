"""Safe opening of regular files whose paths may turn out to be links, pipes or devices.

Nothing here blocks on a pipe. Writing follows no links, and changes no file that has a second name
(a hard link), which may be the user's file. Reading follows links.
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
    """A path is not a regular file; `strerror` says what it is."""


def open_own(path: Path, mode: str, **how: Any) -> IO[Any]:
    """`open` for a file of ours that is written in place.

    Raises:
        OSError: As `open`; an `IrregularError` if the path is a link, a pipe or a device, or the
            file has a second name.
    """
    return open(path, mode, opener=partial(_open, follow=False), **how)


def open_to_read(path: Path, mode: str = "rb", **how: Any) -> IO[Any]:
    """`open` for reading.

    Raises:
        OSError: As `open`; an `IrregularError` if the path is a pipe or a device.
    """
    return open(path, mode, opener=partial(_open, follow=True), **how)


def read_bytes(path: Path) -> bytes:
    """Read a file; raises as `open_to_read` does."""
    with open_to_read(path) as file:
        content: bytes = file.read()
    return content


def read_text(path: Path) -> str:
    """Read a UTF-8 file; raises as `open_to_read` does, or a `UnicodeDecodeError`."""
    return read_bytes(path).decode()


def own_descriptor(path: Path) -> int | None:
    """File descriptor that a path such as `/dev/stdout` stands for; None for other paths."""
    names = {"/dev/stdin": "0", "/dev/stdout": "1", "/dev/stderr": "2"}
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", str(path))
    number = names.get(str(path)) or (found and found[1])
    return int(number) if number else None


def is_special(path: Path) -> bool:
    """Whether a path is (or links to) a device or a pipe, or is one such as `/dev/stdout`."""
    if own_descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def require_own(path: Path, *, alone: bool = True) -> None:
    """Raise what `open_own` would raise; a missing file passes.

    Args:
        path: The file, which a library will open.
        alone: Whether it must have no second name; False if it will be replaced.
    """
    _require(path, follow=False, alone=alone)


def require_readable(path: Path) -> None:
    """Raise what `open_to_read` would raise for a pipe or device, before a library opens it."""
    _require(path, follow=True, alone=False)


def _require(path: Path, *, follow: bool, alone: bool) -> None:
    try:
        status = path.stat(follow_symlinks=follow)
    except OSError:
        return
    _check(status, str(path), alone=alone)


def _open(path: str, flags: int, *, follow: bool) -> int:
    """Opener for `open`: check the file, and only then truncate it if asked to."""
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
