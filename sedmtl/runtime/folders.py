"""What folders hold. One that cannot be read is an error: nothing in it is left out silently."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sedmtl.runtime.errors import explained

ADVICE = ": give yourself access to it, or move it away"


def entries(folder: Path) -> list[Path]:
    """The entries of a folder, sorted; none if there is no such folder.

    Raises:
        SedmtlError: It cannot be read.
    """
    with explained(f"cannot read the folder {folder}", ADVICE):
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


def is_file(path: Path) -> bool:
    """Whether there is such a file; a `SedmtlError` if its folder cannot be searched."""
    with explained(f"cannot read the folder {path.parent}", ADVICE):
        try:
            return stat.S_ISREG(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False


def tree(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files below a folder, and those of its folders that cannot be read, both sorted.

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
