"""Audio files in, mono float32 at one rate out; and WAV files out.

The only module that opens audio (soundfile) and resamples it (soxr). It knows nothing of
corpora. Both libraries let other threads run while they work, so threads use all cores.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sedmtl.containers import check_whole
from sedmtl.errors import SedmtlError
from sedmtl.files import write_bytes

Audio = npt.NDArray[np.float32]

EXTENSIONS = frozenset(
    (".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff",
     ".aifc", ".au", ".caf")
)  # fmt: skip
"""What a folder is searched for: the formats of soundfile that a file's name gives away."""

PEAK = 0.5
"""Where `conform` puts a clip's peak. The recipe divides a mixture by twice the greater peak of
its two parts, so this is the level that a network trained on mixtures knows."""

UNKNOWN = (1 << 63) - 1
"""Samples of a FLAC that was written to a pipe and leaves its length open, as soundfile gives them;
it cannot read such a file to the end."""

BLOCK = 1 << 16
"""Samples of all channels that are read at a time: 1.4 s of mono at 48 kHz."""

MIN_RATE = 1_000
"""In Hz. Below it there is little to hear; a header that says 1 Hz is wrong, and would turn a
second of audio into hours."""


class AudioInfo(NamedTuple):
    """What a file's header says."""

    n_samples: int
    sample_rate: int
    n_channels: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate


def probe(path: Path) -> AudioInfo:
    """Read a file's header.

    Raises:
        SedmtlError: The file is missing, is no audio, was cut short, holds no sample or does not
            say how many, or its sample rate is below 1 kHz.
    """
    try:
        info = soundfile.info(path)
        check_whole(path)
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, error) from error
    except TypeError as error:  # soundfile asks for the rate of a file that is named .raw
        raise SedmtlError(f"cannot read {path} as audio: it does not say its rate") from error
    except OSError as error:
        raise SedmtlError(f"cannot read {path}: {error.strerror}") from error
    if info.frames == 0:
        raise SedmtlError(f"{path} holds no audio: expected at least one sample, found none")
    if info.frames == UNKNOWN:
        raise SedmtlError(f"{path} does not say how long it is: convert it again")
    if info.samplerate < MIN_RATE:
        raise SedmtlError(
            f"{path} should have a sample rate of {MIN_RATE} Hz or more, found {info.samplerate}"
        )
    return AudioInfo(info.frames, info.samplerate, info.channels)


def probe_each(paths: Sequence[Path]) -> list[AudioInfo | SedmtlError]:
    """Read many headers: of a file that is unusable the error that says so."""

    def attempt(path: Path) -> AudioInfo | SedmtlError:
        try:
            return probe(path)
        except SedmtlError as error:
            return error

    with ThreadPoolExecutor() as pool:
        return list(pool.map(attempt, paths))


def probe_all(paths: Sequence[Path]) -> list[AudioInfo]:
    """Read many headers, so that a broken file is found before hours of work, not after.

    Raises:
        SedmtlError: Names the first unusable file and counts the others.
    """
    results = probe_each(paths)
    errors = [result for result in results if isinstance(result, SedmtlError)]
    if errors:
        others = f" (and {len(errors) - 1} more of {len(paths)} files)" if errors[1:] else ""
        raise SedmtlError(f"{errors[0]}{others}")
    return [result for result in results if isinstance(result, AudioInfo)]


def read(
    path: Path, sample_rate: int, *, start_s: float = 0.0, duration_s: float | None = None
) -> Audio:
    """Read a file, average its channels, resample it.

    Args:
        path: Any format that soundfile reads.
        sample_rate: Wanted rate in Hz.
        start_s: Where to begin, in seconds.
        duration_s: How much to read at most; None for all.

    Returns:
        (N,) float32.

    Raises:
        SedmtlError: The file cannot be read, ends before `start_s` or before its header says, or
            holds NaN or infinity.
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
    return _resample(mono, info.sample_rate, sample_rate, str(path))


def stream(path: Path, sample_rate: int) -> Iterator[Audio]:
    """Read a file of any length piece by piece: together the very samples of `read`.

    Args:
        path: Any format that soundfile reads.
        sample_rate: Wanted rate in Hz.

    Yields:
        (n,) float32, in order; some megabytes are held, however long the file is.

    Raises:
        SedmtlError: The file cannot be read, ends before its header says, or holds NaN or
            infinity.
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
        raise _too_short(str(path), info.n_samples, info.sample_rate, sample_rate)
    yield rest


def _blocks(path: Path, info: AudioInfo, first: int, n_samples: int) -> Iterator[Audio]:
    """Some samples of a file, from `first` on, mono and at its own rate."""
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
                yield _average(samples, at, info.sample_rate, str(path))
                at += len(samples)
    except soundfile.LibsndfileError as error:
        raise SedmtlError(
            f"{path} is damaged or cut short after {at / info.sample_rate:.2f} of "
            f"{info.duration_s:.2f} s: {_reason(error)}"
        ) from error


def to_mono(samples: npt.NDArray[np.float32], rate: int, sample_rate: int, *, where: str) -> Audio:
    """Average channels and resample: (N,) or (N, channels) at `rate` -> (N',) at `sample_rate`.

    Raises:
        SedmtlError: A sample is NaN or infinite, or too few are left at `sample_rate`; `where`
            says whose.
    """
    return _resample(_average(samples, 0, rate, where), rate, sample_rate, where)


def _resample(mono: Audio, rate: int, sample_rate: int, where: str) -> Audio:
    if rate == sample_rate:
        return mono
    resampled: Audio = soxr.resample(mono, rate, sample_rate, quality="HQ")
    if not len(resampled):
        raise _too_short(where, len(mono), rate, sample_rate)
    return resampled


def _average(samples: npt.NDArray[np.float32], first: int, rate: int, where: str) -> Audio:
    """Average the channels of finite samples, of which `first` have gone before."""
    mono = _mean_of_channels(samples)
    # One look at the average finds what is wrong in any channel; which sample, only then.
    if not np.isfinite(mono).all():
        finite = np.isfinite(samples).reshape(len(samples), -1).all(axis=1) & np.isfinite(mono)
        at_s = (first + int(np.argmin(finite))) / rate
        raise SedmtlError(f"{where} holds NaN or infinity at {at_s:.3f} s: export the file again")
    return mono


def _mean_of_channels(samples: npt.NDArray[np.float32]) -> Audio:
    """(N,) or (N, channels) -> (N,): channel by channel, which took a fifth of `mean`'s time."""
    if samples.ndim == 1:
        return np.ascontiguousarray(samples, dtype=np.float32)
    mono = samples[:, 0].astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for channel in samples.T[1:]:
            mono += channel
        mono /= np.float32(samples.shape[1])
    return mono


def _too_short(where: str, n_samples: int, rate: int, sample_rate: int) -> SedmtlError:
    return SedmtlError(
        f"{where} is too short: expected at least one sample at {sample_rate} Hz, found "
        f"{n_samples} at {rate} Hz"
    )


def cut_or_pad(waveform: Audio, n_samples: int) -> Audio:
    """The first `n_samples` samples; silence after the end of a shorter waveform."""
    return np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform))))


def cut_or_repeat(waveform: Audio, n_samples: int) -> Audio:
    """The first `n_samples` samples; a shorter waveform starts over until it is long enough."""
    return np.resize(waveform, n_samples)


def conform(waveform: Audio, n_samples: int) -> Audio:
    """What every clip goes through before its log-mel, in training and in prediction alike.

    Cut or padded to the clip length, and scaled to a peak of 0.5, so that the recording level
    does not matter. Silence stays silence.
    """
    clip = cut_or_pad(waveform, n_samples)
    peak = float(np.abs(clip).max())
    # Divided before it is scaled: PEAK / peak overflows where the peak is a denormal number.
    return clip / np.float32(peak) * np.float32(PEAK) if peak > 0 else clip


def rms(waveform: Audio) -> float:
    """Root mean square, summed in float64."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def write(path: Path, waveform: npt.NDArray[np.int16] | Audio, sample_rate: int) -> None:
    """Write a 16-bit WAV file, making its folder.

    Raises:
        SedmtlError: It cannot be written.
    """
    # In memory: on a full disk libsndfile may leave a part of a file, and say nothing.
    content = io.BytesIO()
    try:
        soundfile.write(content, waveform, sample_rate, subtype="PCM_16", format="WAV")
    except soundfile.LibsndfileError as error:
        raise SedmtlError(f"cannot write {path}: {error.error_string.rstrip('.')}") from error
    write_bytes(path, content.getvalue())


def files_below(folder: Path) -> Iterable[Path]:
    """The audio files below a folder, in a fixed order; hidden ones are left out.

    Raises:
        SedmtlError: A name is no UTF-8, so that no table and no store can hold it.
    """
    # A dangling link counts: its recording is missing, not absent.
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in EXTENSIONS and not hidden and not path.is_dir():
            try:
                str(path).encode()
            except UnicodeEncodeError:
                raise SedmtlError(
                    f"expected file names in UTF-8, found {str(path)!a}: rename it"
                ) from None
            yield path


def _unreadable(path: Path, error: soundfile.LibsndfileError) -> SedmtlError:
    # Those of Path raise where a folder on the way may not be read.
    if os.path.isdir(path):  # noqa: PTH112
        return SedmtlError(f"no audio file in the folder {path}")
    if not os.path.exists(path):  # noqa: PTH110
        return SedmtlError(f"no audio file {path}")
    return SedmtlError(f"cannot read {path} as audio: {_reason(error)}")


def _reason(error: soundfile.LibsndfileError) -> str:
    text: str = error.error_string
    return text.removeprefix("Error : ").rstrip(".")
