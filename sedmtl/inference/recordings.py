"""Recordings of any length and number: from audio to scores, tags and events.

`windows` says how a recording is cut and its scores are joined, `postprocess` what an event is;
here they meet the network. Memory grows neither with the length of a recording nor, but for what
was found, with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sedmtl.data import audio
from sedmtl.events import Detection
from sedmtl.inference.checkpoint import ModelCard
from sedmtl.inference.postprocess import PostProcessing, RawEvent, Segmenter, gate
from sedmtl.inference.windows import CrossFade, Grid, Scores, Window, cut
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.prefetch import prefetch

BATCH_SIZE = 8
"""Windows at a time."""

Blocks = Iterable[audio.Audio]


class Scorer(Protocol):
    """A trained network with its front end: the `Detector`, or what stands in for it."""

    @property
    def card(self) -> ModelCard:
        """What it was trained on."""

    def score_windows(self, waveforms: audio.Audio) -> tuple[Scores, Scores]:
        """Conformed waveforms (B, n_samples) -> clip scores (B, C), frame scores (B, C, T)."""


@dataclass(frozen=True)
class Findings:
    """What a network found in a recording.

    Attributes:
        duration_s: Length of the recording.
        clip: (C,) in [0, 1], the highest clip score over its windows.
        events: By onset; none ends after the recording.
    """

    duration_s: float
    clip: Scores
    events: list[Detection]


@dataclass(frozen=True)
class Prediction:
    """What a network found in a recording, with the scores over time that it found it by.

    Attributes:
        classes: Names of the C classes, in the order of every axis of classes.
        duration_s: Length of the recording.
        clip: (C,) in [0, 1], the highest clip score over its windows.
        frame: (C, T) over time; each window's times its clip score if the post-processing of the
            run is gated.
        frame_edges_s: (T + 1,) where frames begin and end; each stands for the hop around its
            centre.
        events: By onset; none ends after the recording.
    """

    classes: tuple[str, ...]
    duration_s: float
    clip: Scores
    frame: Scores
    frame_edges_s: npt.NDArray[np.float64]
    events: list[Detection]


def predict(scorer: Scorer, blocks: Blocks) -> Prediction:
    """Predict on one recording and keep all its frame scores: 0.3 MB a minute at paper size.

    Args:
        scorer: Any detector.
        blocks: The recording, mono and at the network's rate, in pieces of any length: what
            `audio.stream` yields, or a list of one waveform.

    Raises:
        SedmtlError: The blocks cannot be read to their end.
    """
    card, grid = scorer.card, grid_of(scorer.card)
    track, parts = _Track(card, card.postprocessing), []
    for _, scored in _score(scorer, ((0, item) for item in _windows(blocks, grid)), BATCH_SIZE):
        if isinstance(scored, SedmtlError):
            raise scored
        parts.append(track.add(scored))
    frame, found = np.concatenate(parts, axis=1), track.finish()
    edges_s = grid.first_edge_s + np.arange(frame.shape[1] + 1) * grid.hop_s
    return Prediction(card.classes, found.duration_s, found.clip, frame, edges_s, found.events)


def find_events(
    scorer: Scorer,
    paths: Sequence[Path],
    settings: PostProcessing,
    batch_size: int = BATCH_SIZE,
    n_workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Generator[tuple[int, Findings | SedmtlError], None, None]:
    """Predict on many recordings: batches hold windows of several, which threads read ahead.

    Close the iterator (`contextlib.closing`) to stop the threads before its end.

    Args:
        scorer: Any detector.
        paths: The recordings.
        settings: How frame scores become events.
        batch_size: Windows at a time.
        n_workers: Recordings that are read at once.
        advance: Called with the number of seconds of audio just heard.

    Yields:
        The number of each recording, in order, with what was found or why it cannot be read.
    """
    grid, track = grid_of(scorer.card), _Track(scorer.card, settings)
    clock = _Clock(grid.sample_rate, advance)
    sources = (_windows(audio.stream(path, grid.sample_rate), grid) for path in paths)
    with prefetch(sources, n_workers, batch_size) as items:
        for number, scored in _score(scorer, items, batch_size):
            if isinstance(scored, SedmtlError):
                yield number, scored
            else:
                clock.hear(scored.window.end - track.end)
                track.add(scored)
                if not scored.window.is_last:
                    continue
                yield number, track.finish()
            track = _Track(scorer.card, settings)


def seconds_of(paths: Sequence[Path]) -> int:
    """Seconds of audio in files, by their headers; those that cannot be read have none."""
    infos = audio.probe_each(paths)
    return int(sum(info.duration_s for info in infos if isinstance(info, audio.AudioInfo)))


def tags_of(card: ModelCard, clip: Scores) -> list[tuple[str, float]]:
    """Labels and clip scores of the classes above their thresholds, the highest first."""
    scores = zip(card.classes, clip.tolist(), card.tag_threshold, strict=True)
    tags = [(label, score) for label, score, threshold in scores if score > threshold]
    return sorted(tags, key=lambda tag: -tag[1])


def grid_of(card: ModelCard) -> Grid:
    """Where a network's frames lie in a recording."""
    n_frames, window, hop = card.n_frame_scores, card.frame_window, card.frame_hop
    return Grid(card.sample_rate, card.n_samples, n_frames, window, hop)


class _Scored(NamedTuple):
    """A window with its clip scores (C,) and frame scores (C, T)."""

    window: Window
    clip: Scores
    frame: Scores


class _Track:
    """One recording on its way through the network."""

    def __init__(self, card: ModelCard, settings: PostProcessing) -> None:
        self.end = 0  # samples heard
        self._card, self._settings, grid = card, settings, grid_of(card)
        self._clip = np.zeros(len(card.classes), np.float32)
        self._join = CrossFade(len(card.classes))
        self._segmenter = Segmenter(settings, grid.hop_s, grid.first_edge_s)
        self._events: list[Detection] = []

    def add(self, scored: _Scored) -> Scores:
        """Take the next window; returns the frame scores (C, t) that are final with it."""
        window = scored.window
        self.end, self._clip = window.end, np.maximum(self._clip, scored.clip)
        frame = gate(scored.frame[:, : window.n_frames], scored.clip, self._settings)
        done = self._join.push(window.start, frame)
        if window.is_last:
            done = np.concatenate([done, self._join.finish()], axis=1)
        self._keep(self._segmenter.push(done))
        return done

    def finish(self) -> Findings:
        """After the last window."""
        self._keep(self._segmenter.finish())
        self._events.sort(key=lambda event: (event.onset_s, event.label))
        duration_s = self.end / self._card.sample_rate
        events = [
            event if event.offset_s <= duration_s else event._replace(offset_s=duration_s)
            for event in self._events
        ]
        return Findings(duration_s, self._clip, events)

    def _keep(self, events: Iterable[RawEvent]) -> None:
        self._events += [
            Detection(self._card.classes[label], max(onset_s, 0.0), offset_s, score)
            for label, onset_s, offset_s, score in events
        ]


class _Clock:
    """Counts samples and tells whole seconds."""

    def __init__(self, sample_rate: int, advance: Callable[[int], None]) -> None:
        self._n_heard, self._sample_rate, self._advance = 0, sample_rate, advance

    def hear(self, n_samples: int) -> None:
        before = self._n_heard // self._sample_rate
        self._n_heard += n_samples
        self._advance(self._n_heard // self._sample_rate - before)


def _windows(blocks: Blocks, grid: Grid) -> Iterator[Window | SedmtlError]:
    """The windows of a recording, and the error that ends them if there is one."""
    try:
        yield from cut(blocks, grid)
    except SedmtlError as error:
        yield error


def _score(
    scorer: Scorer, items: Iterable[tuple[int, Window | SedmtlError]], batch_size: int
) -> Iterator[tuple[int, _Scored | SedmtlError]]:
    """Send windows through the network; errors go past it, in their place."""
    items = iter(items)
    while batch := list(islice(items, batch_size)):
        windows = [item for _, item in batch if isinstance(item, Window)]
        scores = iter(_score_batch(scorer, windows))
        for number, item in batch:
            yield number, next(scores) if isinstance(item, Window) else item


def _score_batch(scorer: Scorer, windows: Sequence[Window]) -> list[_Scored]:
    if not windows:
        return []
    clip, frame = scorer.score_windows(np.stack([window.waveform for window in windows]))
    return [_Scored(*each) for each in zip(windows, clip, frame, strict=True)]
