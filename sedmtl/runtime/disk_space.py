"""What a stage is about to take of a disk, told before it is taken."""

from __future__ import annotations

import shutil
from pathlib import Path

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import say, size_text


def announce(what: str, n_bytes: int, folder: Path) -> None:
    """Say what is about to be made; refuse what the disk cannot hold.

    Args:
        what: Number and kind of the items: '6,000 mixtures at 3 SNRs'.
        n_bytes: That are still to be written.
        folder: Where; it need not be there yet.

    Raises:
        SedmtlError: Fewer bytes are free.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    n_free = shutil.disk_usage(there).free
    if n_bytes > n_free:
        raise SedmtlError(
            f"{what} take {size_text(n_bytes)} in {folder}, where {size_text(n_free)} are free: "
            "free some, or set workdir in data.yaml to a folder on another disk"
        )
    say(f"{what}: {size_text(n_bytes)} into {folder}, where {size_text(n_free)} are free")
