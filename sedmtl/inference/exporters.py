"""Formats predictions as text for other tools.

These functions only return text; they write no files. To add a format, add its function to
`FORMATS`.

Plain-text formats have no quoting and are read line by line. Line breaks, tabs and other control
characters in names and labels therefore become spaces in every format except CSV and JSON, which
keep them. Lone surrogates (from file names that are not valid Unicode) become question marks.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sedmtl.events import COLUMNS
from sedmtl.runtime.text import csv_cell

if TYPE_CHECKING:  # the help lists the formats, and must not import torch
    from sedmtl.inference.prediction import Prediction

SCHEMA = 1
"""Version of the JSON; raised whenever existing readers would misread it."""

EVENT_COLUMNS = (*COLUMNS, "score")
TAG_COLUMNS = ("filename", "event_label", "score", "events")
RAVEN_COLUMNS = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
                 "High Freq (Hz)", "Annotation", "Score")  # fmt: skip

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

Cells = Iterable[Sequence[str]]


def tsv_text(*predictions: Prediction) -> str:
    """A TSV table of all events: `filename onset offset event_label score`.

    The DCASE format, which `label_files` reads, with a fifth column; times to the millisecond.
    Values with double quotes are quoted as in CSV.
    """
    return _tsv([EVENT_COLUMNS, *_event_rows(predictions)])


def csv_text(*predictions: Prediction) -> str:
    """The TSV's columns as CSV (RFC 4180): commas, quotes if needed, CR LF.

    Names that a spreadsheet would evaluate as formulas are prefixed with an apostrophe.
    """
    rows = ([csv_cell(value) for value in row] for row in _event_rows(predictions))
    return _encodable(_table([EVENT_COLUMNS, *rows]))


def tag_text(*predictions: Prediction) -> str:
    """A TSV table of all tags: `filename event_label score events`, the last being a count.

    A tag is a class whose clip score is above its threshold. It need not have events, which are
    found in frame scores with separate thresholds.
    """
    rows = list[Sequence[str]]()
    for prediction in predictions:
        n_events = Counter(event.label for event in prediction.events)
        rows += [
            (prediction.filename, label, f"{score:.4f}", str(n_events[label]))
            for label, score in prediction.tags or ()
        ]
    return _tsv([TAG_COLUMNS, *rows])


def json_text(prediction: Prediction) -> str:
    """A JSON object with `schema`, `filename`, `duration_s`, `events` and, if requested, `tags`."""
    content = {
        "schema": SCHEMA,
        "filename": prediction.filename,
        "duration_s": round(prediction.duration_s, 6),
        "events": [_rounded(**event._asdict()) for event in prediction.events],
    }
    if prediction.tags is not None:
        content["tags"] = [_rounded(label, score=score) for label, score in prediction.tags]
    return _encodable(json.dumps(content, ensure_ascii=False, indent=2)) + "\n"


def audacity_text(prediction: Prediction) -> str:
    """A label track for Audacity's File > Import > Labels.

    Tab-separated onset, offset and label, without a header (Audacity Manual, "Importing and
    Exporting Labels", standard format); classes may overlap.
    """
    return "".join(
        f"{event.onset_s:.6f}\t{event.offset_s:.6f}\t{_one_line(event.label)}\n"
        for event in prediction.events
    )


def raven_text(prediction: Prediction) -> str:
    """A selection table for Raven, with a spectrogram box per event.

    The columns that Raven requires (Raven Pro User's Manual, chapter 6), then two of our own. The
    network does not predict frequencies, so every box spans the network's whole range.
    """
    low_hz, high_hz = prediction.band_hz
    rows = [
        f"{number}\tSpectrogram 1\t1\t{event.onset_s:.6f}\t{event.offset_s:.6f}"
        f"\t{low_hz:.1f}\t{high_hz:.1f}\t{_one_line(event.label)}\t{event.score:.4f}"
        for number, event in enumerate(prediction.events, 1)
    ]
    return "\n".join(["\t".join(RAVEN_COLUMNS), *rows, ""])


class Format(NamedTuple):
    """A file format: its suffix, and a function that formats one prediction."""

    suffix: str
    text: Callable[[Prediction], str]


FORMATS: Mapping[str, Format] = {
    "tsv": Format(".tsv", tsv_text),
    "csv": Format(".csv", csv_text),
    "json": Format(".json", json_text),
    "audacity": Format(".txt", audacity_text),
    "raven": Format(".selections.txt", raven_text),
}
"""Formats by the names that users type. `tsv_text` and `csv_text` also take many recordings."""


def _event_rows(predictions: Iterable[Prediction]) -> Cells:
    for prediction in predictions:
        for label, onset_s, offset_s, score in prediction.events:
            times = (f"{onset_s:.3f}", f"{offset_s:.3f}")
            yield (prediction.filename, *times, label, f"{score:.4f}")


def _tsv(rows: Cells) -> str:
    one_line = ([_one_line(value) for value in row] for row in rows)
    return _table(one_line, delimiter="\t", lineterminator="\n")


def _table(rows: Cells, **layout: Any) -> str:
    text = io.StringIO()
    csv.writer(text, **layout).writerows(rows)
    return text.getvalue()


def _rounded(label: str, **numbers: float) -> dict[str, Any]:
    return {"label": label, **{key: round(number, 6) for key, number in numbers.items()}}


def _one_line(text: str) -> str:
    return _encodable(CONTROL.sub(" ", text))


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
