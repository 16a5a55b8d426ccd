"""Checksums of files. A leaf."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sedmtl.runtime.errors import SedmtlError

CHUNK = 1 << 20


def md5_of(path: Path, advance: Callable[[int], None]) -> str:
    """The MD5 sum of a file in hexadecimal digits: the one that Zenodo publishes.

    Args:
        path: The file.
        advance: Called with the bytes just read; may raise to end it.

    Raises:
        SedmtlError: The file cannot be read.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in _chunks(path):
        digest.update(chunk)
        advance(len(chunk))
    return digest.hexdigest()


def crc32_of(path: Path) -> int:
    """The CRC-32 of a file: the one that ZIP archives state.

    Raises:
        SedmtlError: The file cannot be read.
    """
    crc32 = 0
    for chunk in _chunks(path):
        crc32 = zlib.crc32(chunk, crc32)
    return crc32


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise SedmtlError(f"cannot read {path}: {error.strerror}") from error
