"""Audio files, read whole or piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sedmtl.data.audio.header import AudioInfo, probe, reason_of
from sedmtl.data.audio.waveform import Audio, average, resample, too_short
from sedmtl.runtime.errors import SedmtlError

BLOCK = 1 << 16
"""Samples of all channels read at a time: 1.4 s of mono at 48 kHz."""


def read(
    path: Path, sample_rate: int, *, start_s: float = 0.0, duration_s: float | None = None
) -> Audio:
    """Read a file, average its channels, resample it.

    Args:
        path: Any format that soundfile reads.
        sample_rate: Target rate in Hz.
        start_s: Start in seconds.
        duration_s: Longest duration to read; None for all.

    Returns:
        (N,) float32.

    Raises:
        SedmtlError: The file cannot be read, ends before `start_s`, is truncated, or holds
            NaN or infinity.
    """
    info = probe(path)
    if not 0 <= start_s < info.duration_s:
        raise SedmtlError(
            f"{path} is {info.duration_s:.2f} s long: nothing starts at {start_s:g} s"
        )
    first = min(round(start_s * info.sample_rate), info.n_samples - 1)
    n_samples = info.n_samples - first
    if duration_s is not None:
        n_samples = min(n_samples, max(1, round(duration_s * info.sample_rate)))
    mono = np.concatenate(list(_blocks(path, info, first, n_samples)))
    return resample(mono, info.sample_rate, sample_rate, str(path))


def stream(path: Path, sample_rate: int) -> Iterator[Audio]:
    """Read a file of any length in blocks; together they equal the result of `read`.

    Args:
        path: Any format that soundfile reads.
        sample_rate: Target rate in Hz.

    Yields:
        (n,) float32, in order; memory stays at a few megabytes for any length.

    Raises:
        SedmtlError: The file cannot be read, is truncated, or holds NaN or infinity.
    """
    info = probe(path)
    if info.sample_rate == sample_rate:
        yield from _blocks(path, info, 0, info.n_samples)
        return
    resampler = soxr.ResampleStream(info.sample_rate, sample_rate, 1, "float32", "HQ")
    n_resampled = 0
    for mono in _blocks(path, info, 0, info.n_samples):
        resampled: Audio = resampler.resample_chunk(mono)
        n_resampled += len(resampled)
        yield resampled
    rest: Audio = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if not n_resampled + len(rest):
        raise too_short(str(path), info.n_samples, info.sample_rate, sample_rate)
    yield rest


def _blocks(path: Path, info: AudioInfo, first: int, n_samples: int) -> Iterator[Audio]:
    """Samples of a file starting at `first`, mono, at the original rate."""
    at, end = first, first + n_samples
    n_at_a_time = max(1, BLOCK // info.n_channels)
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(first)
            while at < end:
                n_wanted = min(n_at_a_time, end - at)
                samples = file.read(n_wanted, dtype="float32", always_2d=True)
                if not len(samples):
                    raise SedmtlError(
                        f"{path} is cut short: its header promises {info.duration_s:.2f} s of "
                        f"audio, found {at / info.sample_rate:.2f} s"
                    )
                yield average(samples, at, info.sample_rate, str(path))
                at += len(samples)
    except soundfile.LibsndfileError as error:
        raise SedmtlError(
            f"{path} is damaged or cut short after {at / info.sample_rate:.2f} of "
            f"{info.duration_s:.2f} s: {reason_of(error)}"
        ) from error
