"""Folder listings. An unreadable folder is an error or is reported, never skipped silently."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sedmtl.runtime.errors import explained

ADVICE = ": give yourself access to it, or move it away"


def entries(folder: Path) -> list[Path]:
    """List a folder, sorted; empty if there is no such folder.

    Raises:
        SedmtlError: The folder cannot be read.
    """
    with explained(f"cannot read the folder {folder}", ADVICE):
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


def is_file(path: Path) -> bool:
    """Whether the file exists; raises a `SedmtlError` if its folder cannot be searched."""
    with explained(f"cannot read the folder {path.parent}", ADVICE):
        try:
            return stat.S_ISREG(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False


def tree(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the files below a folder, and the unreadable folders below it, both sorted.

    Hidden files and folders are left out; links to folders are not followed.
    """
    files: list[Path] = []
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(files), sorted(unreadable)
