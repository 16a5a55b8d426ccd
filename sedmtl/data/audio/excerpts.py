"""Parts of audio files as files of their own: same rate, same channels, same level."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from sedmtl.data.audio.files import libsndfile_name, probe
from sedmtl.runtime.errors import SedmtlError

WIDE = ("20", "24", "32", "FLOAT", "DOUBLE")
"""In libsndfile's names of sample formats with more than 16 bits."""


def excerpt(path: Path, start_s: float, duration_s: float, ending: str) -> bytes:
    """A part of an audio file, as much of it as there is, as WAV or FLAC.

    Samples of up to 24 bits are kept exactly: 16 bits of files that have no more, otherwise 24. One
    louder than full scale, which only floats can be, makes the part quieter as a whole.

    Args:
        path: The file.
        start_s: Where the part begins; before the file, it is the file's begin.
        duration_s: How long it is at most.
        ending: `wav` or `flac`.

    Raises:
        SedmtlError: The file cannot be read, ends before the part, or FLAC cannot hold it.
    """
    info = probe(path)
    first = max(0, round(start_s * info.sample_rate))
    n_samples = round((start_s + duration_s) * info.sample_rate) - first
    try:
        with soundfile.SoundFile(libsndfile_name(path)) as file:
            n_bits = 24 if any(mark in file.subtype for mark in WIDE) else 16
            file.seek(min(first, info.n_samples))
            samples = file.read(n_samples, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SedmtlError(f"{path} cannot be read at {start_s:.2f} s: it is damaged") from error
    if not len(samples):
        raise SedmtlError(f"{path} is {info.duration_s:.2f} s long: nothing is at {start_s:.2f} s")
    samples /= max(1.0, float(np.abs(samples).max()))
    scale = 1 << (n_bits - 1)
    levels = np.round(samples.astype(np.float64) * scale).clip(-scale, scale - 1).astype(np.int32)
    content = io.BytesIO()
    try:
        # libsndfile takes the high bits.
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
