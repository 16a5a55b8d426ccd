"""Strong labels: which event sounds from when to when, and the TSV that carries them.

The TSV is the DCASE one: `filename onset offset event_label`, seconds, tab-separated.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from sedmtl.classes import class_name
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


def labels_of_file(
    labels: Mapping[str, Sequence[Event]], table_path: Path, audio_path: Path
) -> Sequence[Event]:
    """The strong labels of one file, whose name in the table may be any end of its path.

    The longest end counts: `garden/0001.flac` before `0001.flac`. A table that names no end of the
    path may still have the one row with the file's own name.

    Args:
        labels: Of each filename in the table.
        table_path: For the error messages.
        audio_path: The file.

    Raises:
        SedmtlError: No row names the file, or several names fit equally well.
    """
    parts = audio_path.absolute().parts

    def ends_path(name: str) -> bool:
        row = PurePath(name).parts
        return row == parts[-len(row) :]

    fitting = [name for name in labels if ends_path(name)]
    if fitting:
        return labels[max(fitting, key=lambda name: len(PurePath(name).parts))]
    fitting = [name for name in labels if PurePath(name).name == audio_path.name]
    if not fitting:
        raise SedmtlError(f"{table_path} has no row for {audio_path.name}")
    if len(fitting) > 1:
        raise SedmtlError(
            f"{table_path} has rows for {' and '.join(fitting[:3])}, and none of these paths is "
            f"that of {audio_path}: name the file in the table as {audio_path.name}, or by its path"
        )
    return labels[fitting[0]]


def _parse(row: Mapping[str, str], path: Path) -> Event:
    try:
        event = Event(class_name(row["event_label"]), float(row["onset"]), float(row["offset"]))
    except ValueError:
        raise SedmtlError(f"{path}: onset and offset should be seconds, found {row}") from None
    if not 0 <= event.onset_s < event.offset_s < math.inf or not (event.label and row["filename"]):
        raise SedmtlError(
            f"{path}: expected a filename, 0 <= onset < offset and a label, found {row}"
        )
    return event
