"""The strong labels of a store as an `Annotation`, and which clips have them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sedmtl.metrics.annotation import Annotation
from sedmtl.store.tables import EventTable


def annotation_of(events: EventTable) -> Annotation:
    """The strong labels of a store for the metrics.

    Times are stored in float32, hence rounded to six decimals.
    """
    return Annotation(
        clip=events.mixture.astype(np.int64),
        label=events.label.astype(np.int64),
        onset_s=np.asarray(events.onset_s, np.float64).round(6),
        offset_s=np.asarray(events.offset_s, np.float64).round(6),
    )


def known_clips(target: npt.NDArray[np.uint8], events: EventTable) -> npt.NDArray[np.int64]:
    """The clips whose strong labels are known: those with events, and those without any label.

    Empty if no event is known at all: then clips without labels prove nothing either.
    """
    if not len(events):
        return np.empty(0, np.int64)
    known: npt.NDArray[np.bool_] = np.logical_not(target.any(axis=1))
    known[events.mixture] = True
    return np.flatnonzero(known)
