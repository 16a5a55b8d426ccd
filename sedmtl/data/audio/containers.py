"""Completeness checks of audio files against their container headers.

libsndfile silently returns shorter audio for a truncated file or an Ogg file with damaged pages.
FLAC is not checked here, because its decoder does so, nor is MP3, whose header states no length.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sedmtl.runtime.errors import SedmtlError

MAX_CHUNKS = 1_000
"""Most chunks searched for the samples; a file with more is not checked further."""

OPEN_ENDED = (1 << 31, 1 << 32)
"""Sizes near these are placeholders: a program that writes to a pipe cannot go back to its header.
FFmpeg writes 2^32 - 1, SoX 2^31 - 4096, arecord 2^31; 0 is used, too."""

PAGE = struct.Struct("<4sBBqIIIB")
"""Header of an Ogg page (RFC 3533, section 6): pattern, version, type, position, serial number,
page number, checksum, number of segments; the segment lengths follow."""
CHECKSUM = slice(22, 26)

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits reversed."""


class Chunks(NamedTuple):
    """Layout of a chunked container.

    Attributes:
        first: Byte at which the first chunk begins.
        header: Format of a chunk's name and size.
        samples: Name of the chunk that holds the samples.
        n_inside: Bytes of the chunk's header that are included in its size.
        multiple: Chunks start at multiples of this number of bytes.
    """

    first: int
    header: struct.Struct
    samples: bytes
    n_inside: int = 0
    multiple: int = 2


W64_SAMPLES = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")

CHUNKS = {
    b"RIFF": Chunks(12, struct.Struct("<4sI"), b"data"),
    b"RIFX": Chunks(12, struct.Struct(">4sI"), b"data"),
    b"RF64": Chunks(12, struct.Struct("<4sI"), b"data"),
    b"FORM": Chunks(12, struct.Struct(">4sI"), b"SSND"),
    b"riff": Chunks(40, struct.Struct("<16sQ"), W64_SAMPLES, n_inside=24, multiple=8),
}
"""Layouts by the first four bytes: WAV, big-endian WAV, WAV beyond 4 GiB, AIFF, Sony Wave64."""


def check_whole(path: Path) -> None:
    """Refuse a truncated file or a damaged Ogg file.

    Reads a few headers, but all of an Ogg file (0.3 GB per second).

    Raises:
        SedmtlError: The file is truncated or damaged.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        kind = file.read(4)
        if kind == b"OggS":
            _check_pages(file, path)
        elif kind in CHUNKS:
            _check_samples(file, path, CHUNKS[kind])
        elif kind == b".snd":  # AU: start and size of the samples in bytes
            start, size = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
            _check_size(file, path, start, size)


def _check_samples(file: BinaryIO, path: Path, chunks: Chunks) -> None:
    """Find the chunk with the samples and compare its size with that of the file."""
    at, long_size, n_bytes = chunks.first, None, file.seek(0, 2)
    for _ in range(MAX_CHUNKS):
        file.seek(min(at, n_bytes))  # a corrupt size may exceed any possible offset
        header = file.read(chunks.header.size)
        if len(header) < chunks.header.size:
            return
        name, size = chunks.header.unpack(header)
        if name == b"ds64":  # RF64: sizes of the file and of the samples in 64 bits
            long_size = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))[1]
        start, size = at + len(header), size - chunks.n_inside
        if name == chunks.samples:
            _check_size(file, path, start, size if long_size is None else long_size)
            return
        at = -(-(start + size) // chunks.multiple) * chunks.multiple


def _check_size(file: BinaryIO, path: Path, start: int, size: int) -> None:
    found = max(file.seek(0, 2) - start, 0)
    is_open = size <= 0 or any(abs(size - limit) <= 4096 for limit in OPEN_ENDED)
    if found < size and not is_open:
        raise SedmtlError(
            f"{path} is cut short: its header promises {size} bytes of audio, found {found}: copy "
            "it again"
        )


def _check_pages(file: BinaryIO, path: Path) -> None:
    """Check the checksum and number of every page of an Ogg file."""
    at, numbers = file.seek(0), dict[int, int]()  # number of the last page of each stream
    while fixed := file.read(PAGE.size):
        if len(fixed) == PAGE.size and not fixed.startswith(b"OggS"):
            raise SedmtlError(
                f"{path} is damaged: expected an Ogg page at byte {at}: copy it again"
            )
        lengths = file.read(fixed[-1])
        body = file.read(sum(lengths))
        if len(fixed) < PAGE.size or len(lengths) < fixed[-1] or len(body) < sum(lengths):
            raise SedmtlError(f"{path} is cut short in the Ogg page at byte {at}: copy it again")
        blank = fixed[: CHECKSUM.start] + bytes(4) + fixed[CHECKSUM.stop :]
        if ogg_checksum(blank + lengths + body) != int.from_bytes(fixed[CHECKSUM], "little"):
            raise SedmtlError(f"{path} is damaged in the Ogg page at byte {at}: copy it again")
        *_, stream, number, _, _ = PAGE.unpack(fixed)
        if number != numbers.get(stream, number - 1) + 1:
            raise SedmtlError(f"{path} lacks an Ogg page at byte {at}: copy it again")
        at, numbers[stream] = file.tell(), number


def ogg_checksum(data: bytes) -> int:
    """Checksum of an Ogg page: CRC-32 with polynomial 0x04C11DB7 from 0 (RFC 3533, section 6).

    Ogg processes the most significant bit first. zlib uses the same polynomial, but inverted and
    with the least significant bit first, which gives the same number with its bits reversed.
    """
    mirrored = zlib.crc32(data.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
