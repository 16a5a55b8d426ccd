"""Writing WAV files atomically."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from sedmtl.data.audio.waveform import Audio
from sedmtl.runtime.atomic import write_bytes
from sedmtl.runtime.errors import SedmtlError


def write(path: Path, waveform: npt.NDArray[np.int16] | Audio, sample_rate: int) -> None:
    """Write a 16-bit WAV file; creates its folder.

    Raises:
        SedmtlError: The file cannot be written.
    """
    # In memory: on a full disk libsndfile may write a truncated file without an error.
    content = io.BytesIO()
    try:
        soundfile.write(content, waveform, sample_rate, subtype="PCM_16", format="WAV")
    except soundfile.LibsndfileError as error:
        raise SedmtlError(f"cannot write {path}: {error.error_string.rstrip('.')}") from error
    write_bytes(path, content.getvalue())
