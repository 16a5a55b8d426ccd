"""Annotations: events of many clips as arrays, the common input of the localisation metrics.

Times are in seconds. The metrics compare them as integer microseconds, the six decimals that the
field's tools round to, so that sums and ties are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Seconds = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Annotation:
    """True or detected events: four arrays (n_events,).

    Attributes:
        clip: Row of the clip, from 0.
        label: Index of the class, from 0.
        onset_s: The onsets.
        offset_s: The offsets, after the onsets.
    """

    clip: Whole
    label: Whole
    onset_s: Seconds
    offset_s: Seconds

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def onset_us(self) -> Whole:
        """The onsets in whole microseconds."""
        return microseconds(self.onset_s)

    @property
    def offset_us(self) -> Whole:
        """The offsets in whole microseconds."""
        return microseconds(self.offset_s)

    def group(self, n_classes: int) -> Whole:
        """A number for each pair of clip and class, increasing with clip, then class."""
        return self.clip * n_classes + self.label

    def take(self, rows: Whole | Mask) -> Annotation:
        """Some of the events, by index or mask."""
        return Annotation(
            self.clip[rows], self.label[rows], self.onset_s[rows], self.offset_s[rows]
        )

    def shifted(self, by_s: Seconds) -> Annotation:
        """The events delayed by (n_events,) seconds."""
        return Annotation(self.clip, self.label, self.onset_s + by_s, self.offset_s + by_s)

    def of_classes_in(self, truth: Annotation) -> Annotation:
        """The events of the classes that have a truth in any clip."""
        return self.take(np.isin(self.label, truth.label))

    def merged(self) -> Annotation:
        """Sorted by clip, class and onset; events that overlap or touch are merged."""
        if not len(self):
            return self
        events = self.take(np.lexsort((self.onset_s, self.label, self.clip)))
        # Groups are concatenated on one time line, too far apart to touch.
        span_us = events.offset_us.max() + 2
        group = events.group(int(events.label.max()) + 1)
        reached_us = np.maximum.accumulate(group * span_us + events.offset_us)
        apart = group[1:] * span_us + events.onset_us[1:] > reached_us[:-1]
        starts = np.flatnonzero(np.append(True, apart))
        offset_s = np.maximum.reduceat(events.offset_s, starts)
        return Annotation(
            events.clip[starts], events.label[starts], events.onset_s[starts], offset_s
        )


def microseconds(time_s: npt.ArrayLike) -> Whole:
    """Round to integer microseconds."""
    return np.rint(np.asarray(time_s, np.float64) * 1e6).astype(np.int64)


def pairs_between(low: Whole, high: Whole, place: Whole) -> tuple[Whole, Whole]:
    """All i and j with ``low[i] <= place[j] <= high[i]``, sorted by i, then by place.

    `low` and `high` are (n,), `place` is (m,) in any order.
    """
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place, low, "left", sorter=order)
    n_found = np.searchsorted(place, high, "right", sorter=order) - first
    i = np.repeat(np.arange(len(low)), n_found)
    skipped = np.cumsum(n_found) - n_found
    j = np.arange(len(i)) + np.repeat(first - skipped, n_found)
    return i, order[j]
