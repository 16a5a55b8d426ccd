"""Audio files: finding them in a folder, validating their headers, and reading their samples."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from sedmtl.data.audio.containers import check_whole
from sedmtl.data.audio.waveform import Audio, average, channels, resample, resample_blocks
from sedmtl.runtime import folders
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import is_special

EXTENSIONS = frozenset(
    (".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff",
     ".aifc", ".au", ".caf")
)  # fmt: skip
"""Extensions of the audio files in a folder: the formats that soundfile reads."""

UNKNOWN = (1 << 63) - 1
"""Length that soundfile reports for a FLAC file written to a pipe, which it cannot read to the
end."""

MIN_RATE = 1_000
"""Lowest sample rate, in Hz. A lower one in a header is probably wrong: 1 Hz would turn a second
into hours."""

WAV_BYTES = (1 << 32) - 1
"""Largest size that a WAV header can state; in RF64, a placeholder: its ds64 chunk has the size."""

BLOCK = 1 << 16
"""Samples, over all channels, read at a time: 1.4 s of mono at 48 kHz."""


class AudioInfo(NamedTuple):
    """Length and format from the header of an audio file."""

    n_samples: int
    sample_rate: int
    n_channels: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate


def files_below(folder: Path) -> list[Path]:
    """List the audio files below a folder, sorted, without hidden ones.

    Raises:
        SedmtlError: A sub-folder cannot be read, or a name is not UTF-8, so that no table or store
            could hold it.
    """
    files, unreadable = search(folder)
    if unreadable:
        raise SedmtlError(f"cannot read the folder {unreadable[0]}{folders.ADVICE}")
    return files


def search(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the audio files below a folder, as `files_below`, and its unreadable sub-folders."""
    paths, unreadable = folders.tree(folder)
    # A dangling link counts, since its recording is missing. Reading a pipe would block.
    files = [path for path in paths if path.suffix.lower() in EXTENSIONS and not is_special(path)]
    for path in files:
        try:
            str(path.relative_to(folder)).encode()
        except UnicodeEncodeError:
            raise SedmtlError(
                f"expected file names in UTF-8, found {str(path)!a}: rename it"
            ) from None
    return files, unreadable


def probe(path: Path) -> AudioInfo:
    """Read a file's header.

    Raises:
        SedmtlError: The file is missing, is not audio, is truncated, holds no sample, does not
            state its length, or has a sample rate below 1 kHz.
    """
    if is_special(path):
        raise SedmtlError(f"{path} is a device or a pipe: expected an audio file")
    try:
        info = soundfile.info(libsndfile_name(path))
        check_whole(path)
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, error) from error
    except TypeError as error:  # soundfile needs the rate of a file named .raw
        raise SedmtlError(
            f"cannot read {path} as audio: it does not state its sample rate"
        ) from error
    except OSError as error:
        raise SedmtlError(f"cannot read {path}: {error.strerror}") from error
    if info.frames == 0:
        raise SedmtlError(f"{path} holds no audio: expected at least one sample, found none")
    if info.frames == UNKNOWN:
        raise SedmtlError(f"{path} does not state its length: convert it again")
    if info.samplerate < MIN_RATE:
        raise SedmtlError(
            f"{path} should have a sample rate of {MIN_RATE} Hz or more, found {info.samplerate}"
        )
    return AudioInfo(info.frames, info.samplerate, info.channels)


def probe_each(paths: Sequence[Path]) -> list[AudioInfo | SedmtlError]:
    """Read many headers; for an unusable file, the error is returned instead."""

    def attempt(path: Path) -> AudioInfo | SedmtlError:
        try:
            return probe(path)
        except SedmtlError as error:
            return error

    with ThreadPoolExecutor() as pool:
        return list(pool.map(attempt, paths))


def probe_all(paths: Sequence[Path]) -> list[AudioInfo]:
    """Read many headers, so that a broken file is found before hours of work.

    Raises:
        SedmtlError: A file is unusable; the message names the first and counts the others.
    """
    results = probe_each(paths)
    errors = [result for result in results if isinstance(result, SedmtlError)]
    if errors:
        raise as_one(errors, len(paths))
    return [result for result in results if isinstance(result, AudioInfo)]


def as_one(errors: Sequence[SedmtlError], n_files: int) -> SedmtlError:
    """Combine errors: the first one, and how many more."""
    others = f" (and {len(errors) - 1} more of {n_files} files)" if errors[1:] else ""
    return SedmtlError(f"{errors[0]}{others}")


def read(
    path: Path, sample_rate: int, *, start_s: float = 0.0, duration_s: float | None = None
) -> Audio:
    """Read a file from `start_s`, at most `duration_s` long, as mono at `sample_rate`.

    Returns:
        (N,) float32.

    Raises:
        SedmtlError: The file cannot be read, ends before `start_s`, is truncated, or holds
            NaN, infinity or a sample beyond `waveform.LOUDEST`.
    """
    info = probe(path)
    mono = np.concatenate(list(_part(path, info, start_s, duration_s)))
    return resample(mono, info.sample_rate, sample_rate, str(path))


def stream(
    path: Path, sample_rate: int, *, start_s: float = 0.0, duration_s: float | None = None
) -> Iterator[Audio]:
    """Read a file of any length in blocks that together equal the result of `read`.

    Yields:
        (n,) float32, in order; memory use stays at a few megabytes for any length.

    Raises:
        SedmtlError: As in `read`.
    """
    info = probe(path)
    blocks = _part(path, info, start_s, duration_s)
    yield from resample_blocks(blocks, info.sample_rate, sample_rate, str(path))


def stream_channels(path: Path) -> Iterator[Audio]:
    """Read a file like `stream`, but in blocks (channels, n) at its own sample rate."""
    info = probe(path)
    yield from _blocks(path, info, 0, info.n_samples, channels)


def wav_bytes(waveform: npt.NDArray[np.int16] | Audio, sample_rate: int) -> bytes:
    """Encode a 16-bit WAV file in memory: on a full disk libsndfile may silently truncate a file.

    Raises:
        SedmtlError: A WAV file cannot hold the waveform.
    """
    content = io.BytesIO()
    try:
        soundfile.write(content, waveform, sample_rate, subtype="PCM_16", format="WAV")
    except soundfile.LibsndfileError as error:
        raise SedmtlError(f"cannot make a WAV file: {error.error_string.rstrip('.')}") from error
    return content.getvalue()


def wav_header(n_samples: int, n_channels: int, sample_rate: int) -> bytes:
    """Header of a 16-bit WAV file; the samples follow, with channels interleaved.

    A file whose sizes need more than 32 bits becomes RF64 (EBU Tech 3306), which states them in 64.
    """
    n_bytes, per_moment = 2 * n_samples * n_channels, 2 * n_channels
    rate = (sample_rate, sample_rate * per_moment)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, n_channels, *rate, per_moment, 16)
    n_beside = len(b"WAVE") + len(form) + struct.calcsize("<4sI")
    kind, sizes = b"RIFF", b""
    if n_beside + n_bytes > WAV_BYTES:
        layout = "<4sIQQQI"
        n_in_all = n_beside + struct.calcsize(layout) + n_bytes
        kind, sizes = b"RF64", struct.pack(layout, b"ds64", 28, n_in_all, n_bytes, n_samples, 0)
    begin = struct.pack("<4sI4s", kind, min(n_beside + n_bytes, WAV_BYTES), b"WAVE")
    return begin + sizes + form + struct.pack("<4sI", b"data", min(n_bytes, WAV_BYTES))


def _part(path: Path, info: AudioInfo, start_s: float, duration_s: float | None) -> Iterator[Audio]:
    """Samples of a file from `start_s`, mono, at the original rate."""
    if not 0 <= start_s < info.duration_s:
        raise SedmtlError(
            f"{path} is {info.duration_s:.2f} s long: nothing starts at {start_s:g} s"
        )
    first = min(round(start_s * info.sample_rate), info.n_samples - 1)
    n_samples = info.n_samples - first
    if duration_s is not None:
        n_samples = min(n_samples, max(1, round(duration_s * info.sample_rate)))
    yield from _blocks(path, info, first, n_samples)


def _blocks(
    path: Path,
    info: AudioInfo,
    first: int,
    n_samples: int,
    take: Callable[[npt.NDArray[np.float32], int, int, str], Audio] = average,
) -> Iterator[Audio]:
    """Samples of a file from `first`, at the original rate, converted by `take`."""
    at, end = first, first + n_samples
    n_at_a_time = max(1, BLOCK // info.n_channels)
    try:
        with Forward(libsndfile_name(path)) as file:
            file.skip(first)
            while at < end:
                n_wanted = min(n_at_a_time, end - at)
                samples = file.read(n_wanted, dtype="float32", always_2d=True)
                if not len(samples):
                    raise SedmtlError(
                        f"{path} is cut short: its header promises {info.duration_s:.2f} s of "
                        f"audio, found {at / info.sample_rate:.2f} s"
                    )
                yield take(samples, at, info.sample_rate, str(path))
                at += len(samples)
    except soundfile.LibsndfileError as error:
        raise SedmtlError(
            f"{path} is damaged or cut short after {at / info.sample_rate:.2f} of "
            f"{info.duration_s:.2f} s: {_reason_of(error)}"
        ) from error


class Forward(soundfile.SoundFile):  # type: ignore[misc]
    """An audio file that soundfile reads without seeking after each block."""

    def skip(self, n_samples: int) -> None:
        """Skip a number of samples per channel."""
        if self.format != "MP3":
            self.seek(n_samples, soundfile.SEEK_CUR)
            return
        # MP3 frames depend on preceding ones: after a seek the samples differ from those of
        # continuous decoding, and libmpg123 complains on stderr.
        n_at_a_time = max(1, BLOCK // self.channels)
        for begin in range(0, n_samples, n_at_a_time):
            self.read(min(n_at_a_time, n_samples - begin), dtype="float32")

    def seekable(self) -> bool:
        """False, so that soundfile does not seek to where reading has left off anyway."""
        return False


def libsndfile_name(path: Path) -> Path | bytes:
    """File name for soundfile; as bytes, since it may not be UTF-8."""
    return path if os.name == "nt" else os.fsencode(path)


def _unreadable(path: Path, error: soundfile.LibsndfileError) -> SedmtlError:
    # Path's methods raise if a parent folder is not readable.
    if os.path.isdir(path):  # noqa: PTH112
        folders.entries(path)
        return SedmtlError(f"no audio file in the folder {path}")
    if not folders.is_file(path):
        return SedmtlError(f"no audio file {path}")
    return SedmtlError(f"cannot read {path} as audio: {_reason_of(error)}")


def _reason_of(error: soundfile.LibsndfileError) -> str:
    """Message of libsndfile without its prefix and full stop."""
    text: str = error.error_string
    return text.removeprefix("Error : ").rstrip(".")
