"""Frame scores -> events: median filter or boxes, threshold, gap filling, minimum duration.

Scores may come in chunks of any length: the events do not depend on where a recording is split,
and with a median filter memory use is constant. `training.tuning` chooses the settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sedmtl.events import Detection
from sedmtl.inference.boxes import boxes
from sedmtl.runtime.errors import SedmtlError

Scores = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int64]

TOLERANCE = 1e-6
"""In frames: makes 0.3 s three hops of 0.1 s, although 0.3 / 0.1 < 3 in floating point."""

FOREVER = 2**40
"""Upper limit of lengths in frames, beyond any recording, so that they fit an integer."""


@dataclass(frozen=True)
class PostProcessing:
    """How frame scores become events; plain values, stored with the run.

    Attributes:
        threshold: (C,) a frame is active if its score is strictly above.
        low: Hysteresis in [0, 1]: an event extends to adjacent frames with scores above
            `low * threshold`; 1 for none.
        median_s: Length of the median filter over time; 0 for none.
        step_s: Length of each side of the step filter that finds boxes, which replace the median
            filter; 0 for no boxes.
        gap_s: Gaps within a class up to this length are filled.
        min_duration_s: Events shorter than this are dropped, after gap filling.
        gated: Whether frame scores are multiplied by the clip score. Scores passed to the functions
            below, except `gate`, have already been multiplied.

    Raises:
        SedmtlError: `low` is not in [0, 1], or a length is negative.
    """

    threshold: tuple[float, ...]
    low: float = 1.0
    median_s: float = 0.0
    gap_s: float = 0.0
    min_duration_s: float = 0.0
    gated: bool = False
    step_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= 1:
            raise SedmtlError(f"low should be a share of the threshold in [0, 1]: {self.low:g}")
        for name in ("median_s", "step_s", "gap_s", "min_duration_s"):
            length_s = getattr(self, name)
            if not 0 <= length_s < math.inf:
                raise SedmtlError(f"{name} should be 0 s or more, found {length_s:g}")


def gate(frame: Scores, clip: Scores, settings: PostProcessing) -> npt.NDArray[np.float32]:
    """Frame scores (…, T), multiplied by the clip scores (…) if the settings are gated."""
    scores = frame.astype(np.float32, copy=False)
    return scores * clip[..., None].astype(np.float32, copy=False) if settings.gated else scores


def shape(frame: Scores, settings: PostProcessing, hop_s: float) -> Scores:
    """Apply the median filter or boxes to whole recordings: (…, T) -> (…, T)."""
    if settings.step_s:
        return boxes(frame, max(1, round(settings.step_s / hop_s)))
    return median_filter(frame, odd_frames(settings.median_s, hop_s))


def odd_frames(median_s: float, hop_s: float) -> int:
    """The odd number of frames closest to a length (ties go up); at least 1."""
    return 2 * math.floor(median_s / hop_s / 2 + TOLERANCE) + 1


def median_filter(frame: Scores, n_frames: int) -> Scores:
    """Median filter over an odd number of frames, zero-padded: (…, T) -> (…, T).

    Equal to `scipy.signal.medfilt` on each row; the type is preserved.
    """
    half = n_frames // 2
    padding = [(0, 0)] * (frame.ndim - 1) + [(half, half)]
    return _inner_median(np.pad(frame, padding), n_frames)


def _inner_median(frame: Scores, n_frames: int) -> Scores:
    """Medians of all complete windows: (…, T) -> (…, T - n_frames + 1), or empty."""
    if n_frames == 1:
        return frame
    half, n_inner = n_frames // 2, max(0, frame.shape[-1] - n_frames + 1)
    if not n_inner or not frame.size:
        return frame[..., :n_inner]
    # scipy is 10 times as fast in one dimension as in two (25 frames); windows that cross row
    # boundaries are discarded.
    medians = ndimage.median_filter(frame.ravel(), n_frames).reshape(frame.shape)
    return medians[..., half : half + n_inner]


def segment(
    frame: Scores,
    settings: PostProcessing,
    classes: Sequence[str],
    hop_s: float,
    first_edge_s: float = 0.0,
) -> list[Detection]:
    """The events of a whole recording with frame scores (C, T), sorted by onset, then class."""
    segmenter = Segmenter(settings, classes, hop_s, first_edge_s)
    runs = segmenter._next_runs(frame)
    return segmenter._events(runs.and_then(segmenter._last_runs()))


class Segmenter:
    """Finds the events of one recording whose frame scores come in chunks.

    Frame k covers `first_edge_s` + [k, k + 1) * `hop_s`. The steps are: median filter or boxes;
    runs of frames above `low * threshold`, kept if their highest score is above the threshold; gap
    filling; dropping short events. All work in whole frames, so that rounding cannot depend on the
    chunks.

    Between chunks it holds, per class, the run that reaches the last frame, the last event that
    might still be joined with a later one, and the context of the median filter. Boxes need all
    frames: 18 MB per hour for 41 classes at 31 frames/s.
    """

    def __init__(
        self,
        settings: PostProcessing,
        classes: Sequence[str],
        hop_s: float,
        first_edge_s: float = 0.0,
    ) -> None:
        self._classes = classes
        self._threshold = np.array(settings.threshold)
        self._low = settings.low * self._threshold
        self._hop_s, self._first_edge_s = hop_s, first_edge_s
        self._boxes = partial(shape, settings=settings, hop_s=hop_s) if settings.step_s else None
        self._n_median = 1 if self._boxes else odd_frames(settings.median_s, hop_s)
        self._max_gap = math.floor(min(settings.gap_s / hop_s, FOREVER) + TOLERANCE)
        self._min_frames = math.ceil(min(settings.min_duration_s / hop_s, FOREVER) - TOLERANCE)
        self._context = np.zeros((len(self._threshold), self._n_median // 2), np.float32)
        self._waiting: list[Scores] = []  # all frames, for boxes
        self._frontier = 0  # frames that have passed the filter
        self._open = self._pending = _Runs.none()

    def push(self, frame: Scores) -> list[Detection]:
        """Add the scores (C, t) of the next frames, t >= 0.

        Returns:
            The events that no later frame can change, sorted by onset, then class. Later chunks
            may return events of other classes with earlier onsets.

        Raises:
            SedmtlError: The numbers of rows and thresholds differ.
        """
        return self._events(self._next_runs(frame))

    def finish(self) -> list[Detection]:
        """End the recording; returns the remaining events."""
        return self._events(self._last_runs())

    def _next_runs(self, frame: Scores, is_last: bool = False) -> _Runs:
        """Process the next frames (C, t); returns the runs that no later frame can change."""
        if frame.ndim != 2 or len(frame) != len(self._threshold):
            raise SedmtlError(
                f"expected scores of {len(self._threshold)} classes (C, t), one for each "
                f"threshold, found an array {frame.shape}"
            )
        found = self._open.and_then(self._runs(self._filter(frame, is_last))).joined(max_gap=0)
        is_open = found.end == self._frontier
        self._open = found.of(is_open)
        next_start = np.full(len(self._threshold), self._frontier)
        next_start[self._open.label] = self._open.start
        return self._settle(found.of(~is_open), next_start)

    def _last_runs(self) -> _Runs:
        half = self._n_median // 2
        silence = np.zeros((len(self._threshold), half), self._context.dtype)
        runs = self._next_runs(silence, is_last=True)
        last, self._open = self._open, _Runs.none()
        never = np.full(len(self._threshold), np.iinfo(np.int64).max)
        return runs.and_then(self._settle(last, never))

    def _filter(self, frame: Scores, is_last: bool) -> Scores:
        """The frames whose filtered scores are now known: (C, t) -> (C, t')."""
        if self._boxes:
            self._waiting.append(frame)
            return self._boxes(np.concatenate(self._waiting, axis=1)) if is_last else frame[:, :0]
        waiting = np.concatenate([self._context, frame], axis=1)
        filtered = _inner_median(waiting, self._n_median)
        self._context = waiting[:, filtered.shape[1] :]
        return filtered

    def _runs(self, filtered: Scores) -> _Runs:
        """Find the runs above the low threshold in the next frames; advances the frontier."""
        n_classes, n_frames = filtered.shape
        active = np.zeros((n_classes, n_frames + 2), np.bool_)
        active[:, 1:-1] = filtered > self._low[:, None]
        label, at = np.nonzero(active[:, 1:] != active[:, :-1])  # alternating starts and ends
        # Each row is padded with a value outside all runs, so that ends stay within the array.
        flat = np.pad(filtered, [(0, 0), (0, 1)]).ravel()
        peak = np.maximum.reduceat(flat, label * (n_frames + 1) + at)[::2].astype(np.float64)
        at += self._frontier
        self._frontier += n_frames
        return _Runs(label[::2], at[::2], at[1::2], peak)

    def _settle(self, closed: _Runs, next_start: Indices) -> _Runs:
        """Keep completed runs above the threshold and fill gaps; returns those that are final.

        The next run of each class can start at `next_start` (C,) at the earliest.
        """
        accepted = closed.of(closed.peak > self._threshold[closed.label])
        joined = self._pending.and_then(accepted).joined(self._max_gap)
        is_final = next_start[joined.label] - joined.end > self._max_gap
        self._pending = joined.of(~is_final)
        return joined.of(is_final & (joined.end - joined.start >= self._min_frames))

    def _events(self, runs: _Runs) -> list[Detection]:
        onset_s = self._first_edge_s + runs.start * self._hop_s
        offset_s = self._first_edge_s + runs.end * self._hop_s
        columns = zip(runs.label, onset_s, offset_s, runs.peak, strict=True)
        return [
            Detection(self._classes[label], float(onset), float(offset), float(peak))
            for label, onset, offset, peak in sorted(columns, key=lambda row: (row[1], row[0]))
        ]


class _Runs(NamedTuple):
    """Runs of frames sorted by class, then time: four arrays of equal length, `end` exclusive."""

    label: Indices
    start: Indices
    end: Indices
    peak: npt.NDArray[np.float64]

    @classmethod
    def none(cls) -> _Runs:
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing, np.zeros(0))

    def of(self, mask: npt.NDArray[np.bool_]) -> _Runs:
        return _Runs(self.label[mask], self.start[mask], self.end[mask], self.peak[mask])

    def and_then(self, later: _Runs) -> _Runs:
        """Append later runs, within each class."""
        order = np.argsort(np.concatenate([self.label, later.label]), kind="stable")
        pairs = zip(self, later, strict=True)
        return _Runs(*(np.concatenate(pair)[order] for pair in pairs))

    def joined(self, max_gap: int) -> _Runs:
        """Join runs of a class that are at most `max_gap` frames apart."""
        if not len(self.label):
            return self
        is_first = np.ones(len(self.label), np.bool_)
        is_first[1:] = self.label[1:] != self.label[:-1]
        is_first[1:] |= self.start[1:] - self.end[:-1] > max_gap
        first = np.flatnonzero(is_first)
        last = np.append(first[1:], len(self.label)) - 1
        peak = np.maximum.reduceat(self.peak, first)
        return _Runs(self.label[first], self.start[first], self.end[last], peak)
