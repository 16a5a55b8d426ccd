"""Parts of audio files as separate files: same rate, same channels, same level."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from sedmtl.data.audio.files import AudioInfo, Forward, libsndfile_name, probe
from sedmtl.runtime.errors import SedmtlError

WIDE = ("20", "24", "32", "FLOAT", "DOUBLE")
"""Parts of libsndfile's names for sample formats with more than 16 bits."""

Samples = npt.NDArray[np.float32]


class Part(NamedTuple):
    """A part of a file; a negative start counts as the start of the file."""

    start_s: float
    duration_s: float


def excerpts(path: Path, parts: Iterable[Part], ending: str) -> Iterator[bytes]:
    """Encode parts of an audio file as WAV or FLAC; a part ends with the file at the latest.

    The file is opened once and read forward. Samples of up to 24 bits are kept exactly: files of
    16 bits or fewer give 16 bits, others 24. A part with float samples beyond full scale is
    attenuated as a whole.

    Args:
        path: The file.
        parts: Parts in order of their starts; they may overlap.
        ending: `wav` or `flac`.

    Raises:
        SedmtlError: The file cannot be read or ends before a part, or FLAC cannot hold a part.
    """
    info, at_s = probe(path), 0.0
    try:
        with Forward(libsndfile_name(path)) as file:
            n_bits = 24 if any(mark in file.subtype for mark in WIDE) else 16
            end, held = 0, np.zeros((0, info.n_channels), np.float32)
            for part in parts:
                at_s = part.start_s
                first = max(0, round(at_s * info.sample_rate))
                n_samples = round((at_s + part.duration_s) * info.sample_rate) - first
                held = held[first - (end - len(held)) :]
                if not len(held):
                    file.skip(min(first, info.n_samples) - end)
                    end = first
                n_more = max(0, n_samples - len(held))
                more = file.read(n_more, dtype="float32", always_2d=True)
                end, held = end + len(more), np.concatenate([held, more])
                if not len(held):
                    raise SedmtlError(
                        f"{path} is {info.duration_s:.2f} s long: nothing is at {at_s:.2f} s"
                    )
                yield _encode(path, held[:n_samples], info, n_bits, ending)
    except soundfile.LibsndfileError as error:
        raise SedmtlError(f"{path} cannot be read at {at_s:.2f} s: it is damaged") from error


def _encode(path: Path, samples: Samples, info: AudioInfo, n_bits: int, ending: str) -> bytes:
    samples = samples / max(1.0, float(np.abs(samples).max()))
    scale = 1 << (n_bits - 1)
    levels = np.round(samples.astype(np.float64) * scale).clip(-scale, scale - 1).astype(np.int32)
    content = io.BytesIO()
    try:
        # libsndfile uses the high bits of int32 samples.
        soundfile.write(
            content,
            levels << (32 - n_bits),
            info.sample_rate,
            format=ending.upper(),
            subtype=f"PCM_{n_bits}",
        )
    except soundfile.LibsndfileError as error:
        raise SedmtlError(
            f"{path}: {ending.upper()} cannot hold {info.n_channels} channels at "
            f"{info.sample_rate} Hz: {error.error_string.rstrip('.')}"
        ) from error
    return content.getvalue()
