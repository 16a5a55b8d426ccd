"""Converts a caller's sounds to mono audio at the network's rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sedmtl.data import audio
from sedmtl.data.audio import Audio
from sedmtl.runtime.errors import SedmtlError

Sound = str | Path | npt.NDArray[np.floating]
"""An audio file, or a waveform (N,) or (N, channels)."""


def blocks_of(sound: Sound, rate: int | None, sample_rate: int) -> Iterator[Audio]:
    """A whole sound in blocks (n,) at `sample_rate`.

    Raises:
        SedmtlError: As in `mono`.
    """
    if isinstance(sound, str | Path):
        return audio.stream(Path(sound), sample_rate)
    return iter([mono(sound, rate, sample_rate)])


def mono(
    sound: Sound,
    rate: int | None,
    sample_rate: int,
    start_s: float = 0.0,
    duration_s: float = math.inf,
) -> Audio:
    """A sound from `start_s` on, at most `duration_s` long: (N,) at `sample_rate`.

    Args:
        sound: The file or waveform.
        rate: Sample rate of a waveform, in Hz.
        sample_rate: Sample rate of the result, in Hz.
        start_s: Start of the excerpt.
        duration_s: Maximum length of the excerpt.

    Raises:
        SedmtlError: The audio cannot be read or ends before `start_s`, or a waveform has no rate.
    """
    if isinstance(sound, str | Path):
        return audio.read(Path(sound), sample_rate, start_s=start_s, duration_s=duration_s)
    if not rate:
        raise SedmtlError("a waveform needs its sample_rate: predict(waveform, sample_rate)")
    sound = np.asarray(sound)
    if sound.ndim not in (1, 2) or (sound.ndim == 2 and sound.shape[0] < sound.shape[1]):
        raise SedmtlError(
            f"a waveform should be (N,) or (N, channels), found {sound.shape}: transpose it"
        )
    first = round(start_s * rate)
    last = round(min(start_s + duration_s, len(sound) / rate) * rate)
    samples = sound[first:last].astype(np.float32)
    if not len(samples):
        raise SedmtlError(f"the waveform holds {len(sound) / rate:.2f} s: none at {start_s:g} s")
    return audio.to_mono(samples, rate, sample_rate, where="the waveform")


def incoming(blocks: Iterable[npt.ArrayLike], rate: int, sample_rate: int) -> Iterator[Audio]:
    """Convert incoming blocks (n,) or (n, channels) at `rate` to mono at `sample_rate`; copies.

    Raises:
        SedmtlError: A block has another shape or a non-finite sample, or there is no audio.
    """
    return audio.resample_blocks(_averaged(blocks, rate), rate, sample_rate, "the stream")


def _averaged(blocks: Iterable[npt.ArrayLike], rate: int) -> Iterator[Audio]:
    n_samples = 0
    for block in blocks:
        samples = np.array(block, np.float32)
        if samples.ndim not in (1, 2):
            raise SedmtlError(
                f"a block should be (n,) or (n, channels), found {samples.shape} at "
                f"{n_samples / rate:.2f} s"
            )
        if samples.size:
            yield audio.average(samples, n_samples, rate, "the stream")
            n_samples += len(samples)
    if not n_samples:
        raise SedmtlError("the stream ended without audio: expected at least one sample")


def paths_of(sounds: Iterable[str | Path]) -> list[Path]:
    """The paths in a list of sounds.

    Raises:
        SedmtlError: The list has an item that is not a path.
    """
    for sound in sounds:
        if not isinstance(sound, str | Path):
            raise SedmtlError(
                f"a list should hold audio files, found a {type(sound).__name__}: give one "
                "waveform at a time, as an array"
            )
    return [Path(sound) for sound in sounds]
