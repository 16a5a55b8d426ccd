"""Audio files in, mono float32 at one rate out; and WAV files out.

The only module that opens audio (soundfile) and resamples it (soxr). It knows nothing of
corpora. Both libraries let other threads run while they work, so threads use all cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sedmtl.errors import SedmtlError

Audio = npt.NDArray[np.float32]

EXTENSIONS = frozenset(
    [
        ".wav",
        ".wave",
        ".w64",
        ".rf64",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".caf",
    ]
)
"""What a folder is searched for: the formats of soundfile that a file's name gives away."""

PEAK = 0.5
"""Where `conform` puts a clip's peak. The recipe divides a mixture by twice the greater peak of
its two parts, so this is the level that a network trained on mixtures knows."""


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
        SedmtlError: The file is missing, is no audio, or holds no sample.
    """
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, error) from error
    except TypeError as error:  # soundfile asks for the rate of a file that is named .raw
        raise SedmtlError(f"cannot read {path} as audio: it does not say its rate") from error
    if info.frames == 0:
        raise SedmtlError(f"{path} holds no audio: expected at least one sample, found none")
    return AudioInfo(info.frames, info.samplerate, info.channels)


def probe_all(paths: Sequence[Path]) -> list[AudioInfo]:
    """Read many headers, so that a broken file is found before hours of work, not after.

    Raises:
        SedmtlError: Names the first unusable file and counts the others.
    """

    def attempt(path: Path) -> AudioInfo | SedmtlError:
        try:
            return probe(path)
        except SedmtlError as error:
            return error

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(attempt, paths))
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
        SedmtlError: The file cannot be read, ends before `start_s`, or holds NaN or infinity.
    """
    info = probe(path)
    if not 0 <= start_s < info.duration_s:
        raise SedmtlError(
            f"{path} is {info.duration_s:.2f} s long: nothing starts at {start_s:g} s"
        )
    first = min(round(start_s * info.sample_rate), info.n_samples - 1)
    n_frames = -1 if duration_s is None else round(duration_s * info.sample_rate)
    try:
        samples, _ = soundfile.read(path, n_frames, first, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, error) from error
    if not len(samples):
        raise SedmtlError(f"{path} is cut short: its header promises audio that is not there")
    return to_mono(samples, info.sample_rate, sample_rate, where=str(path))


def to_mono(samples: npt.NDArray[np.float32], rate: int, sample_rate: int, *, where: str) -> Audio:
    """Average channels and resample: (N,) or (N, channels) at `rate` -> (N',) at `sample_rate`.

    Raises:
        SedmtlError: A sample is NaN or infinite, or too few are left at `sample_rate`; `where`
            says whose.
    """
    finite = np.isfinite(samples).reshape(len(samples), -1).all(axis=1)
    if not finite.all():
        at_s = int(np.argmin(finite)) / rate
        raise SedmtlError(f"{where} holds NaN or infinity at {at_s:.3f} s: export the file again")
    mono = samples.mean(axis=1, dtype=np.float32) if samples.ndim == 2 else samples
    if rate == sample_rate:
        return np.ascontiguousarray(mono, dtype=np.float32)
    resampled: Audio = soxr.resample(mono, rate, sample_rate, quality="HQ")
    if not len(resampled):
        raise SedmtlError(
            f"{where} is too short: expected at least one sample at {sample_rate} Hz, found "
            f"{len(mono)} at {rate} Hz"
        )
    return resampled


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, sample_rate, subtype="PCM_16")
    except OSError as error:
        raise SedmtlError(f"cannot write {path}: {error.strerror}") from error
    except soundfile.LibsndfileError as error:
        raise SedmtlError(f"cannot write {path}: {error.error_string.rstrip('.')}") from error


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
    if not path.is_file():
        return SedmtlError(f"no audio file {path}")
    reason = error.error_string.rstrip(".")
    return SedmtlError(f"cannot read {path} as audio: {reason}")
