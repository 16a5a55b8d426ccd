"""Turns scored windows of recordings into predictions.

`windows` cuts recordings and joins their scores, `postprocess` finds events. Memory use does not
grow with the length of a recording nor, except for the predictions, with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio
from sedmtl.events import Detection
from sedmtl.features.encoder import EncoderError
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.postprocess import PostProcessing, Segmenter, gate
from sedmtl.inference.windows import CrossFade, Scores, Window, cut
from sedmtl.runtime.errors import SedmtlError

BATCH_SIZE = 8
"""Windows per batch."""

Scorer = Callable[[Audio], tuple[Scores, Scores]]
"""Conformed waveforms (B, n_samples) -> clip scores (B, C), frame scores (B, C, T)."""

Item = tuple[int, Window | SedmtlError]
"""The index of a recording, with its next window or the error that ends it."""


@dataclass(frozen=True)
class Prediction:
    """What a network found in a recording.

    `Detector.predict` of a single recording keeps the frame scores, 0.3 MB per minute at paper
    size. For many recordings they are dropped, and `frame` has no frames.

    Attributes:
        duration_s: Length of the recording.
        events: Events sorted by onset; none ends after the recording.
        tags: Labels and clip scores of the classes in the recording, highest first; None if they
            are not to be written.
        classes: Names of the C classes, in the order of all class axes.
        clip: (C,) in [0, 1], the highest clip score over the windows.
        frame: (C, T) scores over time, multiplied by each window's clip score if the run's
            post-processing is gated; these and clip scores are 0 where the recording is silent.
        frame_edges_s: (T + 1,) frame boundaries, as in `Grid`.
        filename: The recording's name in tables; set by `sedmtl predict`.
        band_hz: Lowest and highest frequency of the network's input; set by `sedmtl predict`.
    """

    duration_s: float
    events: Sequence[Detection]
    tags: Sequence[tuple[str, float]] | None = None
    classes: tuple[str, ...] = ()
    clip: Scores = field(default_factory=lambda: np.zeros(0, np.float32), compare=False)
    frame: Scores = field(default_factory=lambda: np.zeros((0, 0), np.float32), compare=False)
    frame_edges_s: npt.NDArray[np.float64] = field(
        default_factory=lambda: np.zeros(1), compare=False
    )
    filename: str = ""
    band_hz: tuple[float, float] = (0.0, 0.0)


def windows_of(blocks: Iterable[Audio], card: ModelCard) -> Iterator[Window | SedmtlError]:
    """Yield the windows of a recording, and finally the error if reading fails."""
    try:
        yield from cut(blocks, card.grid)
    except SedmtlError as error:
        yield error


def predict_each(
    items: Iterable[Item],
    score: Scorer,
    card: ModelCard,
    settings: PostProcessing,
    *,
    batch_size: int = BATCH_SIZE,
    keeps_frames: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[int, Prediction | SedmtlError]]:
    """Turn the windows of consecutive recordings into predictions.

    Batches combine windows of several recordings.

    Args:
        items: Windows or errors, by recording.
        score: Scores a batch of windows.
        card: Model card of the network.
        settings: Post-processing.
        batch_size: Windows per batch.
        keeps_frames: Whether predictions keep their frame scores.
        advance: Progress callback; gets the seconds of audio just scored.

    Yields:
        The index of each recording, in order, with its prediction or the error from reading it.
    """
    new_track = partial(_Track, card, settings, keeps_frames)
    n_samples, track, events = 0, new_track(), list[Detection]()
    failed = -1
    for number, scored in _score_each(items, score, batch_size):
        if number == failed:  # remaining windows of a failed recording
            continue
        if isinstance(scored, SedmtlError):
            failed = number
            yield number, scored
        else:
            window, clip, frame = scored
            before = n_samples // card.sample_rate
            n_samples += window.end - track.end
            advance(n_samples // card.sample_rate - before)
            events += track.add(window, clip, frame)
            if not window.is_last:
                continue
            yield number, track.finish(events)
        track, events = new_track(), []


def _score_each(
    items: Iterable[Item], score: Scorer, batch_size: int
) -> Iterator[tuple[int, tuple[Window, Scores, Scores] | SedmtlError]]:
    """Score windows in batches; errors keep their position among them."""
    items = iter(items)
    while batch := list(islice(items, batch_size)):
        waveforms = [item.waveform for _, item in batch if isinstance(item, Window)]
        scores = iter(_score_or_fail(waveforms, score))
        for number, item in batch:
            if isinstance(item, SedmtlError):
                yield number, item
                continue
            found = next(scores)
            yield number, found if isinstance(found, SedmtlError) else (item, *found)


def _score_or_fail(
    waveforms: Sequence[Audio], score: Scorer
) -> list[tuple[Scores, Scores] | SedmtlError]:
    """The scores of each window, or the encoder's error."""
    try:
        return list(zip(*score(np.stack(waveforms)), strict=True)) if waveforms else []
    except EncoderError as error:
        if len(waveforms) == 1:
            return [error]
        return [found for each in waveforms for found in _score_or_fail([each], score)]


def stream_events(
    blocks: Iterable[Audio], score: Scorer, card: ModelCard, settings: PostProcessing
) -> Iterator[Detection]:
    """Yield the events of one recording (mono, at the network's rate) as soon as they are final."""
    track = _Track(card, settings, keeps_frames=False)
    for window in cut(blocks, card.grid):
        clip, frame = score(window.waveform[None])
        yield from track.add(window, clip[0], frame[0])


class _Track:
    """State of one recording being predicted; `end` samples have been scored."""

    def __init__(self, card: ModelCard, settings: PostProcessing, keeps_frames: bool) -> None:
        self.end = 0
        self._card, self._settings, grid = card, settings, card.grid
        self._clip = np.zeros(len(card.classes), np.float32)
        self._join = CrossFade(len(card.classes), grid.n_shared)
        self._segmenter = Segmenter(settings, card.classes, grid.hop_s, grid.first_edge_s)
        self._kept = [np.zeros((len(card.classes), 0), np.float32)]
        self._keeps_frames = keeps_frames

    def add(self, window: Window, clip: Scores, frame: Scores) -> list[Detection]:
        """Add the next window with its clip scores (C,) and frame scores (C, T).

        Returns:
            The events that no later window can change; none ends after the recording.
        """
        if window.is_silent:  # scaling has amplified dither only
            clip, frame = np.zeros_like(clip), np.zeros_like(frame)
        self.end, self._clip = window.end, np.maximum(self._clip, clip)
        gated = gate(frame[:, : window.n_frames], clip, self._settings)
        events = self._take(self._join.push(window.start, gated))
        if window.is_last:
            events += self._take(self._join.finish()) + self._segmenter.finish()
        duration_s = self.end / self._card.sample_rate
        return [
            Detection(label, max(onset_s, 0.0), min(offset_s, duration_s), score)
            for label, onset_s, offset_s, score in events
        ]

    def finish(self, events: Iterable[Detection]) -> Prediction:
        """The prediction of the recording, with the events that `add` has returned."""
        frame = np.concatenate(self._kept, axis=1)
        return Prediction(
            self.end / self._card.sample_rate,
            sorted(events, key=lambda event: (event.onset_s, event.label)),
            self._card.tags(self._clip),
            self._card.classes,
            self._clip,
            frame,
            self._card.grid.edges_of(frame.shape[1]),
        )

    def _take(self, frame: Scores) -> list[Detection]:
        """Pass final frame scores (C, t) to the segmenter."""
        if self._keeps_frames:
            self._kept.append(frame)
        return self._segmenter.push(frame)
