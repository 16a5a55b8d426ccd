"""Headers of audio files, validated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import soundfile

from sedmtl.data.audio.containers import check_whole
from sedmtl.runtime.atomic import is_special
from sedmtl.runtime.errors import SedmtlError

UNKNOWN = (1 << 63) - 1
"""What soundfile reports as the length of a FLAC that was written to a pipe; it cannot read such a
file to the end."""

MIN_RATE = 1_000
"""In Hz. A header with a lower rate is probably wrong: 1 Hz would turn a second into hours."""


class AudioInfo(NamedTuple):
    """Length and format of an audio file."""

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
        SedmtlError: The file is missing, is not audio, is truncated, holds no sample, does not
            state its length, or has a sample rate below 1 kHz.
    """
    if is_special(path):
        raise SedmtlError(f"{path} is a device or a pipe: expected an audio file")
    try:
        info = soundfile.info(path)
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
    """Read many headers; an unusable file gives its error instead."""

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
        SedmtlError: Names the first unusable file and counts the others.
    """
    results = probe_each(paths)
    errors = [result for result in results if isinstance(result, SedmtlError)]
    if errors:
        others = f" (and {len(errors) - 1} more of {len(paths)} files)" if errors[1:] else ""
        raise SedmtlError(f"{errors[0]}{others}")
    return [result for result in results if isinstance(result, AudioInfo)]


def _unreadable(path: Path, error: soundfile.LibsndfileError) -> SedmtlError:
    # Path's methods raise if a parent folder is not readable.
    if os.path.isdir(path):  # noqa: PTH112
        return SedmtlError(f"no audio file in the folder {path}")
    if not os.path.exists(path):  # noqa: PTH110
        return SedmtlError(f"no audio file {path}")
    return SedmtlError(f"cannot read {path} as audio: {reason_of(error)}")


def reason_of(error: soundfile.LibsndfileError) -> str:
    """The message of libsndfile, without prefix and full stop."""
    text: str = error.error_string
    return text.removeprefix("Error : ").rstrip(".")
