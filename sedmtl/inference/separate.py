"""`sedmtl separate`: an audio file -> a WAV file per detected class, and one for the remainder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from sedmtl.config import Config
from sedmtl.data import audio
from sedmtl.inference.detector import Detector
from sedmtl.inference.model_card import check_classes
from sedmtl.inference.runs import find_run
from sedmtl.inference.separation import Piece, Recording, Separator, take_apart
from sedmtl.inference.sources import free_path, outputs_of
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import hidden_file, make_folder
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.outputs import Outputs
from sedmtl.runtime.text import file_name

FULL_SCALE = 1 << 15
"""Amplitude 1 in a 16-bit file, one more than the highest value."""
BYTES = 2
"""Bytes per sample."""
REST = "rest"
REST_NUMBER = -1
"""Number of the remainder among the classes."""

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Separated:
    """Result of a separation: scores and files of classes, highest first, and the remainder."""

    run: Path
    sources: list[tuple[float, Path]]
    rest: Path


def separate(
    config: Config,
    path: Path,
    *,
    run_name: str | None = None,
    out_dir: Path | None = None,
    classes: Sequence[str] = (),
) -> Separated:
    """Separate a recording of any length into sounds.

    The files have the recording's channels, sample rate and length, and 16 bits. Their samples sum
    exactly to the recording in 16 bits, which for a 16-bit file is the original. A file beyond
    4 GiB is RF64. The network's input is the mean of the channels at its own rate.

    Args:
        config: Has the folders of runs and results.
        path: An audio file.
        run_name: Name of the run; by default the newest finished one.
        out_dir: Output folder; by default `work/separated`. `sources.free_path` names a subfolder.
        classes: Classes to extract, possibly several separated by commas; by default those
            detected.

    Raises:
        SedmtlError: There is no such run or class, or the recording is silent.
    """
    info = audio.probe(path)
    run = find_run(config.work_dir / "runs", run_name)
    device, encoder = choose_device(None), config.encoder_path
    detector = Detector.load(run, device, channels_last=False, with_heads=True, encoder=encoder)
    separator, labels = Separator(detector, info.sample_rate), detector.classes
    wanted = [labels.index(name) for name in check_classes(classes, labels)]
    out_dir = out_dir or config.work_dir / "separated"
    make_folder(out_dir)
    with (
        _Tracks(out_dir, info.n_channels) as tracks,
        progress.progress("separating", int(info.duration_s), unit="seconds of audio") as advance,
    ):
        scores = np.zeros(len(labels), np.float32)
        heard = audio.stream(path, separator.card.sample_rate)
        recording = Recording(audio.stream_channels(path), info.n_channels, info.sample_rate)
        for piece in take_apart(separator, heard, wanted, recording):
            scores = np.maximum(scores, piece.clip)
            before = tracks.n_samples // info.sample_rate
            tracks.add(piece)
            advance(tracks.n_samples // info.sample_rate - before)
        if tracks.is_silent:
            raise SedmtlError(f"{path} is silent: expected a recording with something to separate")
        outputs = outputs_of(path, out_dir)
        names = [f"{name}.wav" for name in (*file_names(labels), REST)]
        with outputs.alone():
            folder = free_path(
                outputs, config.work_dir, path, lambda at: [at, *(at / name for name in names)]
            )
            outputs.make_folder(folder)
        written = _write(outputs, folder, tracks, info.sample_rate, labels)
    order = sorted(written, key=lambda number: -scores[number])
    rest = written.pop(REST_NUMBER)
    return Separated(run, [(float(scores[k]), written[k]) for k in order if k in written], rest)


def _write(
    outputs: Outputs, folder: Path, tracks: _Tracks, sample_rate: int, labels: Sequence[str]
) -> dict[int, Path]:
    """Write the files, and remove those of classes that only an earlier call extracted.

    Returns:
        Files by class number, including the remainder.
    """
    if tracks.n_clipped:
        progress.say(
            f"warning: {tracks.n_clipped} samples of the recording or the rest exceed 16 bits: "
            "there the files are clipped and do not sum to the recording"
        )
    if not tracks.numbers:
        progress.say(
            "no class was detected: everything is in the rest; --classes extracts a class anyway"
        )
    paths = {number: folder / f"{name}.wav" for number, name in enumerate(file_names(labels))}
    paths[REST_NUMBER] = folder / f"{REST}.wav"
    for number, path in paths.items():
        if number in (*tracks.numbers, REST_NUMBER):
            with hidden_file(path) as part:
                tracks.write(number, part, sample_rate)
                outputs.take(path, part)
        else:
            outputs.remove(path)
    return {number: paths[number] for number in (*tracks.numbers, REST_NUMBER)}


def file_names(labels: Iterable[str]) -> list[str]:
    """A unique, portable file name per label, different from the remainder's."""
    taken, names = {REST}, []
    for label in labels:
        name = file_name(label)
        while name.casefold() in taken:
            name += "_"
        taken.add(name.casefold())
        names.append(name)
    return names


class _Tracks(ExitStack):
    """The separated sounds of one recording in 16 bits, written piece by piece to unnamed files.

    Attributes:
        n_samples: Samples so far, per channel.
        n_clipped: Clipped samples of the recording or the remainder.
        is_silent: Whether all samples were 0 so far.
    """

    def __init__(self, folder: Path, n_channels: int) -> None:
        super().__init__()
        self._n_channels = n_channels
        self.n_samples, self.n_clipped, self.is_silent = 0, 0, True
        self._folder = folder
        self._files: dict[int, IO[bytes]] = {}

    @property
    def numbers(self) -> list[int]:
        """Numbers of the extracted classes."""
        return [number for number in self._files if number != REST_NUMBER]

    def add(self, piece: Piece) -> None:
        """Append the next piece."""
        mixture = _quantise(piece.mixture)
        rest = mixture.astype(np.int32)
        for number in np.flatnonzero(piece.detected | piece.sources.any(axis=(1, 2))):
            source = _quantise(piece.sources[number])
            rest -= source
            self._append(int(number), source)
        kept = rest.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        self._append(REST_NUMBER, kept)
        self.n_clipped += int(((kept != rest) | (np.abs(piece.mixture) > 1)).sum())
        self.is_silent &= not mixture.any()
        self.n_samples += mixture.shape[-1]

    def write(self, number: int, path: Path, sample_rate: int) -> None:
        """Write one sound as a WAV file."""
        file = self._files[number]
        file.truncate(BYTES * self.n_samples * self._n_channels)
        file.seek(0)
        with path.open("wb") as wav:
            wav.write(audio.wav_header(self.n_samples, self._n_channels, sample_rate))
            shutil.copyfileobj(file, wav)

    def _append(self, number: int, samples: Samples) -> None:
        with explained(f"cannot write into {self._folder}"):
            if number not in self._files:
                file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
                self._files[number] = self.enter_context(file)
            # Skipped parts of the file read as zeros.
            self._files[number].seek(BYTES * self.n_samples * self._n_channels)
            self._files[number].write(samples.T.tobytes())
            self._files[number].flush()  # otherwise errors would appear on closing


def _quantise(waveform: audio.Audio) -> Samples:
    scaled = np.rint(waveform * np.float32(FULL_SCALE))
    samples: Samples = scaled.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return samples
