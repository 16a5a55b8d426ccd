"""Disk space that a stage needs, checked before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import say, size_text


def announce(what: str, n_bytes: int, folder: Path) -> None:
    """Announce the disk space of a stage, such as '6,000 mixtures at 3 SNRs'.

    Args:
        what: Number and kind of the items.
        n_bytes: Bytes still to be written.
        folder: Where they are written; it need not exist yet.

    Raises:
        SedmtlError: Fewer bytes are free.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    n_free = shutil.disk_usage(existing).free
    if n_bytes > n_free:
        raise SedmtlError(
            f"{what} need {size_text(n_bytes)} in {folder}, but only {size_text(n_free)} are free: "
            "free some space, or set workdir in data.yaml to a folder on another disk"
        )
    say(f"{what}: {size_text(n_bytes)} in {folder} ({size_text(n_free)} free)")
