"""Strong labels: which event sounds from when to when, and the TSV that carries them.

The TSV is the DCASE one: `filename onset offset event_label`, seconds, tab-separated.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.tables import read_table

COLUMNS = ("filename", "onset", "offset", "event_label")


class Event(NamedTuple):
    """A sound event in a clip."""

    label: str
    onset_s: float
    offset_s: float


class Detection(NamedTuple):
    """A sound event that a network found; its score is the highest frame score within."""

    label: str
    onset_s: float
    offset_s: float
    score: float


def strong_label_text(labels: Mapping[str, Iterable[Event]]) -> str:
    """The strong labels of many clips as the text of a TSV, one row an event.

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


def read_strong_labels(path: Path) -> dict[str, list[Event]]:
    """Read a strong-label TSV.

    Returns:
        The events of each filename, in the file's order.

    Raises:
        SedmtlError: A column is missing, or a row's times are no numbers or in the wrong order.
    """
    labels: dict[str, list[Event]] = {}
    for row in read_table(path, COLUMNS, delimiter="\t"):
        labels.setdefault(row["filename"], []).append(_parse(row, path))
    return labels


def _parse(row: Mapping[str, str], path: Path) -> Event:
    try:
        event = Event(row["event_label"], float(row["onset"]), float(row["offset"]))
    except ValueError:
        raise SedmtlError(f"{path}: onset and offset should be seconds, found {row}") from None
    if not 0 <= event.onset_s < event.offset_s < math.inf or not (event.label and row["filename"]):
        raise SedmtlError(
            f"{path}: expected a filename, 0 <= onset < offset and a label, found {row}"
        )
    return event
