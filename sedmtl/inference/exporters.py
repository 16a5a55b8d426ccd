"""What was found in recordings, as the text of files that other tools open.

Text only: nothing here touches a file. To write another format, add its function to `FORMATS`.

Plain text has no way to quote, and its readers go line by line. So a line break, tab or other
control character in a name or label becomes a space in every format but CSV and JSON, which keep
it; half of a surrogate pair (a file name that is not Unicode) becomes a question mark in all.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sedmtl.events import COLUMNS, Detection

SCHEMA = 1
"""Of the JSON; its next number means that a reader of this one would go wrong."""

EVENT_COLUMNS = (*COLUMNS, "score")
TAG_COLUMNS = ("filename", "event_label", "score")
RAVEN_COLUMNS = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
                 "High Freq (Hz)", "Annotation", "Score")  # fmt: skip

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


@dataclass(frozen=True)
class Recording:
    """A recording and what was found in it.

    Attributes:
        filename: As it is to stand in tables.
        duration_s: Its length.
        band_hz: Lowest and highest frequency that the network hears.
        events: In the order in which they are to be written.
        tags: Labels and clip scores; None if they were not asked for.
    """

    filename: str
    duration_s: float
    band_hz: tuple[float, float]
    events: Sequence[Detection]
    tags: Sequence[tuple[str, float]] | None = None


def tsv_text(*recordings: Recording) -> str:
    """One table of all events: `filename onset offset event_label score`.

    The DCASE TSV (`events.read_strong_labels` reads it) with a fifth column; times to the
    millisecond. A value with a double quote is quoted as in CSV.
    """
    rows = [[_one_line(value) for value in row] for row in _event_rows(recordings)]
    return _table(EVENT_COLUMNS, rows, delimiter="\t", end="\n")


def csv_text(*recordings: Recording) -> str:
    """The columns of the TSV as RFC 4180 has it: commas, quotes where needed, CR LF."""
    rows = _event_rows(recordings)
    return _encodable(_table(EVENT_COLUMNS, rows, delimiter=",", end="\r\n"))


def tag_text(*recordings: Recording) -> str:
    """One TSV of all tags: `filename event_label score`."""
    rows = [
        (_one_line(recording.filename), _one_line(label), f"{score:.4f}")
        for recording in recordings
        for label, score in recording.tags or ()
    ]
    return _table(TAG_COLUMNS, rows, delimiter="\t", end="\n")


def json_text(recording: Recording) -> str:
    """An object with `schema`, `filename`, `duration_s`, `events` and, if asked for, `tags`."""
    content = {
        "schema": SCHEMA,
        "filename": recording.filename,
        "duration_s": round(recording.duration_s, 6),
        "events": [
            {
                "label": event.label,
                "onset_s": round(event.onset_s, 6),
                "offset_s": round(event.offset_s, 6),
                "score": round(event.score, 6),
            }
            for event in recording.events
        ],
    }
    if recording.tags is not None:
        content["tags"] = [{"label": n, "score": round(score, 6)} for n, score in recording.tags]
    return _encodable(json.dumps(content, ensure_ascii=False, indent=2)) + "\n"


def audacity_text(recording: Recording) -> str:
    """A label track for Audacity's File > Import > Labels.

    Onset, offset, label, with tabs between and no header (Audacity Manual, "Importing and
    Exporting Labels", standard format); several classes may overlap.
    """
    return "".join(
        f"{event.onset_s:.6f}\t{event.offset_s:.6f}\t{_one_line(event.label)}\n"
        for event in recording.events
    )


def raven_text(recording: Recording) -> str:
    """A selection table for Raven: a box in the spectrogram for each event.

    The columns that Raven needs (Raven Pro User's Manual, chapter 6), then two of our own. The
    network says nothing of frequency: every box is as high as the network's range.
    """
    low_hz, high_hz = recording.band_hz
    rows = [
        f"{number}\tSpectrogram 1\t1\t{event.onset_s:.6f}\t{event.offset_s:.6f}"
        f"\t{low_hz:.1f}\t{high_hz:.1f}\t{_one_line(event.label)}\t{event.score:.4f}"
        for number, event in enumerate(recording.events, 1)
    ]
    return "\n".join(["\t".join(RAVEN_COLUMNS), *rows, ""])


class Format(NamedTuple):
    """A kind of file: how its name ends, and its text for one recording."""

    suffix: str
    text: Callable[[Recording], str]


FORMATS: Mapping[str, Format] = {
    "tsv": Format(".tsv", tsv_text),
    "csv": Format(".csv", csv_text),
    "json": Format(".json", json_text),
    "audacity": Format(".txt", audacity_text),
    "raven": Format(".selections.txt", raven_text),
}
"""By the name that a user types. `tsv_text` and `csv_text` also take many recordings."""


def _event_rows(recordings: Iterable[Recording]) -> Iterable[tuple[str, ...]]:
    for recording in recordings:
        for label, onset_s, offset_s, score in recording.events:
            times = (f"{onset_s:.3f}", f"{offset_s:.3f}")
            yield (recording.filename, *times, label, f"{score:.4f}")


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, delimiter: str, end: str
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerows([columns, *rows])
    return text.getvalue()


def _one_line(text: str) -> str:
    return _encodable(CONTROL.sub(" ", text))


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
