"""Files that are whole or absent."""

from __future__ import annotations

from pathlib import Path

from sedmtl.errors import SedmtlError


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        SedmtlError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SedmtlError(f"cannot write into {path}: {error.strerror}") from error


def remove_file(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        SedmtlError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SedmtlError(f"cannot remove {path}: {error.strerror}") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file under a hidden name, then give it its own; makes its folder.

    Raises:
        SedmtlError: It cannot be written; the old file, if any, is untouched.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a hidden name, then give it its own; makes its folder.

    Raises:
        SedmtlError: It cannot be written; the old file, if any, is untouched.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise SedmtlError(f"cannot write {path}: {error.strerror}") from error
