"""Mono float32 waveforms: channel averaging, resampling, and the length and level of clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

from sedmtl.runtime.errors import SedmtlError

Audio = npt.NDArray[np.float32]

PEAK = 0.5
"""Peak of a clip after `conform`. The paper divides a mixture by twice the greater peak of its two
parts, so this is the level of the mixtures that networks are trained on."""

LOUDEST = 1e12
"""Highest amplitude of a sample, where 1 is full scale. Integers written as floats reach 2e9; the
squares and sums of samples beyond this limit would overflow float32."""

SILENT = 1e-4
"""Peak, where 1 is full scale, below which a recording holds nothing to detect: -80 dBFS. The
triangular dither of a silent 16-bit file reaches one step, -90 dBFS, and -84 dBFS once it is
resampled (20 s from 44.1 to 96 kHz); scaled to the peak of a clip it would be noise as loud as any
sound."""

QUIETEST = 1e-33
"""RMS below which audio counts as silent: dividing by it would overflow float32."""


def to_mono(samples: npt.NDArray[np.float32], rate: int, sample_rate: int, *, where: str) -> Audio:
    """Average channels and resample: (N,) or (N, channels) at `rate` -> (N',) at `sample_rate`.

    Raises:
        SedmtlError: A sample is NaN, infinite or beyond `LOUDEST`, or none is left at
            `sample_rate`; the message begins with `where`.
    """
    return resample(average(samples, 0, rate, where), rate, sample_rate, where)


def resample(mono: Audio, rate: int, sample_rate: int, where: str) -> Audio:
    """Resample a whole waveform; raises as `to_mono`."""
    if rate == sample_rate:
        return mono
    resampled: Audio = soxr.resample(mono, rate, sample_rate, quality="HQ")
    if not len(resampled):
        raise _too_short(where, len(mono), rate, sample_rate)
    return resampled


def resample_blocks(
    blocks: Iterable[Audio], rate: int, sample_rate: int, where: str
) -> Iterator[Audio]:
    """Resample a waveform in blocks; together they have exactly the samples of `resample`.

    The filter delays the output by 18 ms from 48 to 32 kHz, and by 116 ms from 8 to 16 kHz.
    """
    if rate == sample_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, sample_rate, 1, "float32", "HQ")
    n_samples, n_resampled = 0, 0
    for mono in blocks:
        resampled: Audio = resampler.resample_chunk(mono)
        n_samples, n_resampled = n_samples + len(mono), n_resampled + len(resampled)
        yield resampled
    rest: Audio = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if not n_resampled + len(rest):
        raise _too_short(where, n_samples, rate, sample_rate)
    yield rest


def average(samples: npt.NDArray[np.float32], first: int, rate: int, where: str) -> Audio:
    """Check samples and average their channels; `first` is the number of preceding samples."""
    check(samples, first, rate, where)
    return _mean_of_channels(samples)


def channels(samples: npt.NDArray[np.float32], first: int, rate: int, where: str) -> Audio:
    """(N, channels) -> (channels, N); otherwise as `average`."""
    check(samples, first, rate, where)
    return np.ascontiguousarray(samples.T)


def check(samples: npt.NDArray[np.float32], first: int, rate: int, where: str) -> None:
    """Refuse invalid samples; `first` is the number of preceding samples."""
    if not max(samples.max(), -samples.min()) <= LOUDEST:  # NaN compares as false, too
        fits = (np.abs(samples) <= LOUDEST).reshape(len(samples), -1).all(axis=1)
        at = int(np.argmin(fits))
        loudest = np.abs(samples[at]).max()
        found = f"a sample of {loudest:.1e}" if np.isfinite(loudest) else "NaN or infinity"
        raise SedmtlError(
            f"{where} holds {found} at {(first + at) / rate:.3f} s, expected samples from -1 to 1: "
            "export the file again"
        )


def _mean_of_channels(samples: npt.NDArray[np.float32]) -> Audio:
    """(N,) or (N, channels) -> (N,), channel by channel, which took a fifth of `mean`'s time."""
    if samples.ndim == 1:
        return np.ascontiguousarray(samples, dtype=np.float32)
    mono = samples[:, 0].astype(np.float32)
    for channel in samples.T[1:]:
        mono += channel
    mono /= np.float32(samples.shape[1])
    return mono


def _too_short(where: str, n_samples: int, rate: int, sample_rate: int) -> SedmtlError:
    """Error for a waveform without a sample at the target rate."""
    return SedmtlError(
        f"{where} is too short: expected at least one sample at {sample_rate} Hz, found "
        f"{n_samples} at {rate} Hz"
    )


def cut_or_pad(waveform: Audio, n_samples: int) -> Audio:
    """The first `n_samples` samples; a shorter waveform is padded with silence."""
    return np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform))))


def cut_or_repeat(waveform: Audio, n_samples: int) -> Audio:
    """The first `n_samples` samples; a shorter waveform is repeated."""
    return np.resize(waveform, n_samples)


def conform(waveform: Audio, n_samples: int) -> Audio:
    """Cut or pad a clip to the clip length and scale its peak to 0.5; silence stays silence.

    Applied before the log-mel in training and prediction, so that the recording level does not
    matter.
    """
    clip = cut_or_pad(waveform, n_samples)
    peak = float(np.abs(clip).max())
    # Divide first: PEAK / peak would overflow for a denormal peak.
    return clip / np.float32(peak) * np.float32(PEAK) if peak > 0 else clip


def is_silent(waveform: Audio) -> bool:
    """Whether a waveform, before `conform`, holds nothing but digital silence or dither."""
    return not len(waveform) or float(np.abs(waveform).max()) < SILENT


def rms(waveform: Audio) -> float:
    """Root mean square, summed in float64; 0 below `QUIETEST`."""
    level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
    return level if level >= QUIETEST else 0.0
