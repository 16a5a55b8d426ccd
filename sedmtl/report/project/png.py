"""Maps as PNG images of 256 colours, with one pixel per value; the page stretches them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BIT_DEPTH, PALETTE = 8, 3


def encode(levels: npt.NDArray[np.uint8], colours: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image (PNG specification, third edition).

    Args:
        levels: (height, width), the top row first.
        colours: (256, 3) the colour of each level, sRGB.
    """
    height, width = levels.shape
    header = struct.pack(">IIBBBBB", width, height, BIT_DEPTH, PALETTE, 0, 0, 0)
    rows = np.pad(levels, ((0, 0), (1, 0)))  # each begins with its filter, 0: none
    chunks = [
        (b"IHDR", header),
        (b"PLTE", colours.tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    ]
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
