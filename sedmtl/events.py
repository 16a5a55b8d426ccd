"""Strong labels, the classes and times of events, and the TSV format for them.

The format is that of DCASE: `filename onset offset event_label`, in seconds, tab-separated.
`label_files` reads it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import NamedTuple

COLUMNS = ("filename", "onset", "offset", "event_label")


class Event(NamedTuple):
    """A sound event in a clip."""

    label: str
    onset_s: float
    offset_s: float


class Detection(NamedTuple):
    """A sound event that a network found; its score is the highest frame score within it."""

    label: str
    onset_s: float
    offset_s: float
    score: float


def strong_label_text(labels: Mapping[str, Iterable[Event]]) -> str:
    """Format the strong labels of many clips as TSV, one row per event.

    A value with a tab, a line break or a double quote is quoted as in CSV.
    """
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(
        (filename, f"{event.onset_s:.3f}", f"{event.offset_s:.3f}", event.label)
        for filename, events in labels.items()
        for event in events
    )
    return text.getvalue()
