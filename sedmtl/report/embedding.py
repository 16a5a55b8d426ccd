"""Encoding of data, maps, pictures and audio for embedding in a page."""

from __future__ import annotations

import base64
import io
import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
from markupsafe import Markup

from sedmtl.data.audio import Audio, conform

LEVELS = 2**16 - 1

MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""The sample rates that MP3 supports."""


def as_json(value: Any) -> Markup:
    """Encode plain data for `<script type="application/json">`.

    Raises:
        ValueError: The data hold NaN or infinity, which JSON cannot represent.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Within a script, only what looks like its end or a comment is unsafe.
    return Markup(text.replace("<", "\\u003c"))


def data_uri(content: bytes, media_type: str) -> Markup:
    """Encode a file as a data URI, for `src` and `href`."""
    return Markup(f"data:{media_type};base64,{as_base64(content)}")


def as_base64(content: bytes) -> str:
    """Encode bytes as base64 text."""
    return base64.b64encode(content).decode()


class Packed(NamedTuple):
    """Values as 16-bit levels: value = low + step * level, or (step * level)² with `root`.

    Attributes:
        data: The levels in C order, little-endian, in base64.
        low: The lowest value; 0 with `root`.
    """

    data: str
    low: float
    step: float
    root: bool


def pack(values: npt.NDArray[np.float32], root: bool) -> Packed:
    """Quantise values to 65,536 levels between the lowest and the highest.

    Args:
        values: Any shape; at least 0 with `root`.
        root: Whether to encode square roots, which preserves three digits of an attention weight
            of 0.001 next to one of 1.
    """
    scaled = values.astype(np.float64)
    if root:
        scaled = np.sqrt(scaled)
    low = 0.0 if root else float(scaled.min())
    step = float(scaled.max() - low) / LEVELS
    levels = np.round((scaled - low) / step) if step else np.zeros_like(scaled)
    return Packed(as_base64(levels.astype("<u2").tobytes()), low, step, root)


def sound(waveform: Audio, sample_rate: int, *, is_small: bool) -> Markup:
    """Encode a waveform as an audio file, at the level of the network's input.

    Args:
        waveform: (N,), at least one sample.
        sample_rate: In Hz.
        is_small: Whether to use MP3, which every browser plays: 80 kB for 10 s at 32 kHz, an eighth
            of 16-bit WAV. It is WAV if MP3 does not support the rate, or libsndfile lacks MP3.
    """
    content, samples = io.BytesIO(), conform(waveform, len(waveform))
    if is_small and sample_rate in MP3_RATES_HZ and "MP3" in soundfile.available_formats():
        soundfile.write(content, samples, sample_rate, format="MP3", subtype="MPEG_LAYER_III")
        return data_uri(content.getvalue(), "audio/mpeg")
    levels = np.round(samples * 32767).astype(np.int16)
    soundfile.write(content, levels, sample_rate, format="WAV", subtype="PCM_16")
    return data_uri(content.getvalue(), "audio/wav")
