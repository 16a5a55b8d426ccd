"""Encodes audio and maps for embedding in a page."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio, conform

LEVELS = 2**16 - 1


class Packed(NamedTuple):
    """Values as 16-bit levels: value = low + step * level, or (step * level)² under `root`.

    Attributes:
        data: The levels in C order, little-endian, in base64.
        low: The lowest value; 0 under `root`.
        step: Difference between levels.
        root: Whether levels encode square roots.
    """

    data: str
    low: float
    step: float
    root: bool


def pack(values: npt.NDArray[np.float32], root: bool) -> Packed:
    """Quantise values to 65,536 levels between the lowest and the highest.

    Args:
        values: Any shape; at least 0 under `root`.
        root: Whether to encode square roots, which keeps three digits of an attention weight of
            0.001 next to one of 1.
    """
    scaled = values.astype(np.float64)
    if root:
        scaled = np.sqrt(scaled)
    low = 0.0 if root else float(scaled.min())
    step = float(scaled.max() - low) / LEVELS
    levels = np.round((scaled - low) / step) if step else np.zeros_like(scaled)
    return Packed(encode(levels.astype("<u2")), low, step, root)


def encode(array: npt.NDArray[Any]) -> str:
    """The bytes of an array in base64."""
    return base64.b64encode(array.tobytes()).decode()


def wav(waveform: Audio, sample_rate: int) -> bytes:
    """A mono 16-bit WAV file, at the level of the network's input.

    Args:
        waveform: (N,), at least one sample.
        sample_rate: In Hz.
    """
    samples = conform(waveform, len(waveform))
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return content.getvalue()
