"""Custom recordings as rows of features: positions of their windows, and their audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.config import Config, Mixing
from sedmtl.data import audio
from sedmtl.data.faults import UnreadableRecordingError
from sedmtl.data.grid import Grid
from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.threads import all_cores, map_in_order, threads
from sedmtl.store import WindowTable

BLOCK = 8
"""Rows read together; constant, so that the bytes do not depend on the number of workers."""

PART = 128
"""Most windows of a long recording read together: 20 minutes of 10 s windows, 10 MB of features."""

PART_OF_MP3 = 8 * PART
"""The same for an MP3 file, which is decoded from its beginning for each part: 30 minutes take
2 s."""


class WindowStart(NamedTuple):
    """Start of a row's window, `first` samples into a recording."""

    path: Path
    first: int

    def __str__(self) -> str:
        return f"{self.path}, from sample {self.first} on" if self.first else str(self.path)


def window_table(lengths_s: Sequence[float], config: Config) -> WindowTable:
    """Lay out the windows of recordings, as `predict` does."""
    mixing, made = config.mixing, config.features
    grid = Grid.of(mixing.sample_rate, mixing.n_samples, made.window, made.hop)
    n_samples = [max(1, round(length_s * mixing.sample_rate)) for length_s in lengths_s]
    starts = [grid.starts(n) for n in n_samples]
    within = [
        grid.frames_within(n - int(first) * made.hop)
        for n, of_clip in zip(n_samples, starts, strict=True)
        for first in of_clip
    ]
    return WindowTable(
        clip=np.repeat(np.arange(len(starts), dtype=np.int32), [len(each) for each in starts]),
        start=np.concatenate(starts).astype(np.int32),
        n_frames=np.array(within, np.int32),
        duration_s=np.array(lengths_s, np.float64),
    )


def n_longer(windows: WindowTable) -> int:
    """Number of recordings with several windows."""
    return int((np.bincount(windows.clip) > 1).sum())


def row_blocks(rows: Sequence[WindowStart]) -> Iterator[Sequence[WindowStart]]:
    """Group rows to be read together: some short recordings, or a part of a long one."""
    first = 0
    for row in range(1, len(rows) + 1):
        n_rows = row - first
        path = rows[row - 1].path
        is_same = row < len(rows) and rows[row].path == path
        most = PART_OF_MP3 if path.suffix.lower() == ".mp3" else PART
        if row == len(rows) or n_rows == most or (n_rows >= BLOCK and not is_same):
            yield rows[first:row]
            first = row


def read_windows(rows: Sequence[WindowStart], mixing: Mixing) -> Iterator[audio.Audio]:
    """Read the audio of rows, each scaled to the same peak, one window at a time.

    Yields:
        (n_samples,) of each row.

    Raises:
        UnreadableRecordingError: A recording cannot be decoded.
    """
    rate, n_samples = mixing.sample_rate, mixing.n_samples
    for path, of_path in groupby(rows, key=lambda row: row.path):
        firsts = [row.first for row in of_path]
        length_s = (firsts[-1] - firsts[0]) / rate + mixing.duration_s
        part = {"start_s": firsts[0] / rate, "duration_s": length_s}
        try:
            if len(firsts) == 1:
                yield audio.conform(audio.read(path, rate, **part), n_samples)
            else:
                yield from _cut(audio.stream(path, rate, **part), firsts, n_samples)
        except SedmtlError as error:
            raise UnreadableRecordingError(str(error)) from error


def _cut(
    blocks: Iterator[audio.Audio], firsts: Sequence[int], n_samples: int
) -> Iterator[audio.Audio]:
    """Cut windows from blocks of audio that begin with the first window."""
    begin, held = firsts[0], np.zeros(0, np.float32)
    for first in firsts:
        held, begin = held[first - begin :], first
        while len(held) < n_samples and (block := next(blocks, None)) is not None:
            held = np.concatenate([held, block])
        yield audio.conform(held, n_samples)


def undecodable(
    paths: Sequence[Path], rows: npt.NDArray[np.integer], mixing: Mixing
) -> dict[int, SedmtlError]:
    """Decode whole recordings; return the errors of the unreadable ones by row."""

    def attempt(row: int) -> SedmtlError | None:
        try:
            for _ in audio.stream(paths[row], mixing.sample_rate):
                pass
        except SedmtlError as error:
            return error
        return None

    found: dict[int, SedmtlError] = {}
    bar = progress.progress("looking for unreadable recordings", len(rows))
    with threads(all_cores()) as workers, bar as advance:
        results = map_in_order(attempt, rows.tolist(), workers)
        for row, error in zip(rows.tolist(), results, strict=True):
            found |= {row: error} if error is not None else {}
            advance(1)
    return found
