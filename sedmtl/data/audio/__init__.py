"""Reads audio files as mono float32 at one rate, and writes WAV files.

The only package that reads audio (soundfile) and resamples it (soxr). Both libraries release the
GIL, so threads use all cores.
"""

from sedmtl.data.audio.folder import EXTENSIONS, files_below
from sedmtl.data.audio.header import AudioInfo, probe, probe_all, probe_each
from sedmtl.data.audio.reading import read, stream
from sedmtl.data.audio.waveform import PEAK, Audio, conform, cut_or_repeat, rms, to_mono
from sedmtl.data.audio.writing import write

__all__ = [
    "EXTENSIONS",
    "PEAK",
    "Audio",
    "AudioInfo",
    "conform",
    "cut_or_repeat",
    "files_below",
    "probe",
    "probe_all",
    "probe_each",
    "read",
    "rms",
    "stream",
    "to_mono",
    "write",
]
