"""Check or reserve the disk space of a stage before it starts."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import say, size_text
from sedmtl.runtime.regular import open_own


def announce(what: str, n_bytes: int, folder: Path) -> None:
    """Announce how many bytes remain to be written, for example for '6,000 mixtures at 3 SNRs'.

    Raises:
        SedmtlError: Less space is free where the folder is, or would be created.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    n_free = shutil.disk_usage(existing).free
    if n_bytes > n_free:
        raise SedmtlError(
            f"{what} need {size_text(n_bytes)} in {folder}, but only {size_text(n_free)} are free: "
            "free some space, or set workdir in data.yaml to a folder on another disk"
        )
    say(f"{what}: {size_text(n_bytes)} in {folder} ({size_text(n_free)} free)")


def reserve(path: Path, n_bytes: int) -> None:
    """Reserve a file's space, so that a full disk is noticed before hours of work.

    Raises:
        OSError: There is not enough space; the file is removed.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        with open_own(path, "ab") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
    except OSError as error:
        # Some file systems cannot reserve space; there the disk may still fill up during the work.
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            path.unlink()
            raise
