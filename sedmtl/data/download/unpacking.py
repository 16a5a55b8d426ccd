"""Safe unpacking of a ZIP file into a folder. Knows nothing about corpora.

All names and limits are checked before anything is written. Each file is written under a hidden
name and renamed once its size and CRC-32 match the archive's.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from sedmtl.runtime.atomic import make_folder
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import open_own

MAX_RATIO = 100
"""Highest ratio of unpacked to packed size. Audio reaches 2, label tables 20; ZIP bombs start at
1000."""

CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file as described in the archive; its name is relative to the folder."""

    name: str
    n_bytes: int
    crc32: int


@dataclass(frozen=True)
class Limits:
    """Upper bounds of an archive's unpacked content."""

    n_bytes: int
    n_files: int


def unpack(
    archive: Path, folder: Path, limits: Limits, advance: Callable[[int], None]
) -> list[Entry]:
    """Unpack all files of an archive, replacing existing ones.

    A top-level folder of the archive with the same name as `folder` is merged into it.

    Args:
        archive: A ZIP file.
        folder: Target folder, created if needed.
        limits: Limits in addition to `MAX_RATIO`.
        advance: Called with the number of bytes just written; may raise to stop.

    Raises:
        SedmtlError: The archive is damaged, leads out of the folder, holds something other than
            regular files, or exceeds the limits; or the files cannot be written.
    """
    try:
        with ZipFile(archive) as opened:
            names = _names(opened.infolist(), folder.name, archive)
            _check_limits(list(names.values()), archive, limits)
            for name, member in names.items():
                _write(opened, member, folder / name, advance)
    except (BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise SedmtlError(f"{archive} is not a complete ZIP file: {error}") from error
    except OSError as error:
        where = error.filename or folder
        raise SedmtlError(f"cannot unpack {archive}: {error.strerror} ({where})") from error
    return [Entry(name, member.file_size, member.CRC) for name, member in names.items()]


def _names(members: Sequence[ZipInfo], top: str, archive: Path) -> dict[str, ZipInfo]:
    """Members by their names relative to the folder; refuses unsafe ones."""
    names: dict[str, ZipInfo] = {}
    for member in members:
        stored = member.orig_filename  # zipfile truncates a name at a zero byte
        parts = PurePosixPath(stored).parts
        name = str(PurePosixPath(*(parts[1:] if parts[:1] == (top,) and parts[1:] else parts)))
        # No separators, drive letters or control characters of any system.
        is_plain = stored.isprintable() and not set(stored) & set("\\:")
        reason = ""
        if not parts or ".." in parts or stored.startswith("/") or not is_plain:
            reason = "its name does not stay in the folder"
        elif stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            reason = "it is a link or a device"
        elif member.flag_bits & 1:
            reason = "it is encrypted"
        elif name in names and not member.is_dir():
            reason = "it is there twice"
        if reason:
            raise SedmtlError(
                f"{archive} is refused for {stored!r}: {reason}; nothing was unpacked"
            )
        if not member.is_dir():
            names[name] = member
    return names


def _check_limits(members: Sequence[ZipInfo], archive: Path, limits: Limits) -> None:
    n_bytes = sum(member.file_size for member in members)
    n_packed = archive.stat().st_size
    for what, found, limit in (
        ("files", len(members), limits.n_files),
        ("bytes", n_bytes, limits.n_bytes),
        (f"bytes from {n_packed:,}", n_bytes, MAX_RATIO * n_packed),
    ):
        if found > limit:
            raise SedmtlError(
                f"{archive} is refused: expected at most {limit:,} {what}, found {found:,}; "
                "nothing was unpacked"
            )


def _write(archive: ZipFile, member: ZipInfo, path: Path, advance: Callable[[int], None]) -> None:
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.part")
    # Reading to the end compares the CRC-32.
    with archive.open(member) as source, open_own(partial, "wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            advance(len(chunk))
    n_bytes = partial.stat().st_size
    if n_bytes != member.file_size:
        raise BadZipFile(f"{member.filename} has {n_bytes:,} of {member.file_size:,} bytes")
    partial.replace(path)
