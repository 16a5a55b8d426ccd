"""Disk space that a stage needs, checked before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import say, size_text


def announce(what: str, n_bytes: int, folder: Path) -> None:
    """Announce the bytes still to be written for '6,000 mixtures at 3 SNRs' into a folder.

    Raises:
        SedmtlError: Fewer bytes are free; the folder need not exist yet.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    n_free = shutil.disk_usage(existing).free
    if n_bytes > n_free:
        raise SedmtlError(
            f"{what} need {size_text(n_bytes)} in {folder}, but only {size_text(n_free)} are free: "
            "free some space, or set workdir in data.yaml to a folder on another disk"
        )
    say(f"{what}: {size_text(n_bytes)} in {folder} ({size_text(n_free)} free)")
