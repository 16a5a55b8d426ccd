"""Whether an audio file is whole, as far as its container tells.

libsndfile plays what is left of a file that was cut short, and leaves out damaged pages of an Ogg
file: shorter audio, and no word of it. Here stands what the containers promise. FLAC is not here,
whose decoder checks itself, and neither is MP3, which promises nothing that is not decoded. A leaf.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sedmtl.runtime.errors import SedmtlError

MAX_CHUNKS = 1_000
"""Before the samples; a file of more tiny ones would take long to walk and is not asked further."""

OPEN_ENDED = (1 << 31, 1 << 32)
"""Sizes near these are what writers to a pipe, which cannot go back, put into the header: FFmpeg
2^32 - 1, SoX 2^31 - 4096, arecord 2^31. 0 is another such size."""

PAGE = struct.Struct("<4sBBqIIIB")
"""Header of an Ogg page (RFC 3533, section 6): pattern, version, type, position, serial number,
number, checksum, count of segments, whose lengths follow."""
CHECKSUM = slice(22, 26)

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in reverse."""


class Chunks(NamedTuple):
    """How a container is divided.

    Attributes:
        first: Where the first chunk begins.
        header: Name and size.
        samples: Name of the chunk that holds the samples.
        n_inside: How many bytes of the header its size counts.
        multiple: Of how many bytes the place of a chunk is one.
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
"""By the first four bytes: WAV, big-endian WAV, WAV beyond 4 GiB, AIFF, Sony Wave64."""


def check_whole(path: Path) -> None:
    """Refuse a file that was cut short, or an Ogg file that is damaged.

    Reads a few headers; of an Ogg file all of it, 0.3 GB a second.

    Raises:
        SedmtlError: The container says that something is missing or has changed.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        kind = file.read(4)
        if kind == b"OggS":
            _check_pages(file, path)
        elif kind in CHUNKS:
            _check_samples(file, path, CHUNKS[kind])
        elif kind == b".snd":  # AU: where the samples begin, and how many bytes they are
            start, size = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
            _check_size(file, path, start, size)


def _check_samples(file: BinaryIO, path: Path, chunks: Chunks) -> None:
    """Find the chunk of the samples, and compare its size with what is there."""
    at, long_size = chunks.first, None
    for _ in range(MAX_CHUNKS):
        file.seek(at)
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
            "it anew"
        )


def _check_pages(file: BinaryIO, path: Path) -> None:
    """Compare every page of an Ogg file with its checksum and its number."""
    at, numbers = file.seek(0), dict[int, int]()  # of the last page of each stream
    while fixed := file.read(PAGE.size):
        if len(fixed) == PAGE.size and not fixed.startswith(b"OggS"):
            raise SedmtlError(f"{path} is damaged: expected an Ogg page at byte {at}: copy it anew")
        lengths = file.read(fixed[-1])
        body = file.read(sum(lengths))
        if len(fixed) < PAGE.size or len(lengths) < fixed[-1] or len(body) < sum(lengths):
            raise SedmtlError(f"{path} is cut short in the Ogg page at byte {at}: copy it anew")
        blank = fixed[: CHECKSUM.start] + bytes(4) + fixed[CHECKSUM.stop :]
        if ogg_checksum(blank + lengths + body) != int.from_bytes(fixed[CHECKSUM], "little"):
            raise SedmtlError(f"{path} is damaged in the Ogg page at byte {at}: copy it anew")
        *_, stream, number, _, _ = PAGE.unpack(fixed)
        if number != numbers.get(stream, number - 1) + 1:
            raise SedmtlError(f"{path} misses an Ogg page at byte {at}: copy it anew")
        at, numbers[stream] = file.tell(), number


def ogg_checksum(data: bytes) -> int:
    """The checksum of an Ogg page: CRC-32 of polynomial 0x04C11DB7 from 0 (RFC 3533, section 6).

    Its most significant bit is first. zlib has that polynomial with the least significant bit
    first, and inverts before and after: the same number in reverse.
    """
    mirrored = zlib.crc32(data.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
