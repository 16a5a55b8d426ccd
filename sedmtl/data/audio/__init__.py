"""Reads audio files as mono float32 at one rate, and writes WAV files.

The only package that reads audio (soundfile) and resamples it (soxr). Both libraries release the
GIL, so threads use all cores.
"""

from sedmtl.data.audio.excerpts import Part, excerpts
from sedmtl.data.audio.files import (
    EXTENSIONS,
    AudioInfo,
    as_one,
    files_below,
    probe,
    probe_all,
    probe_each,
    read,
    search,
    stream,
    stream_channels,
    wav_bytes,
    wav_header,
)
from sedmtl.data.audio.waveform import (
    PEAK,
    QUIETEST,
    Audio,
    average,
    conform,
    cut_or_repeat,
    is_silent,
    resample,
    resample_blocks,
    rms,
    to_mono,
)
