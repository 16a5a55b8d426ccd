"""Parsing of one label file: its format, rows and events.

A table is recognised by its columns, whatever separates them; Audacity's labels have no header. A
table may name its recordings. A file that names none describes one recording, whose name is that
of the file without the suffix of the tool: `dawn.wav.txt`, `dawn.Table.1.selections.txt`,
`dawn.BirdNET.results.csv`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sedmtl.classes import class_name
from sedmtl.events import Detection
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import say
from sedmtl.runtime.tables import parse_table, table_text
from sedmtl.runtime.text import counted

COLUMNS = {
    "filename": ("filename", "begin path", "file", "filepath", "begin file"),
    "onset": ("onset", "begin time (s)", "start (s)", "start"),
    "offset": ("offset", "end time (s)", "end (s)", "end"),
    "label": ("event_label", "annotation", "label", "common name", "common_name", "species",
              "scientific name", "scientific_name"),
    "score": ("score", "confidence"),
    "file_offset": ("file offset (s)",),
}  # fmt: skip
"""Lower-case names of columns; the first one with a value counts. The names are those of the DCASE
TSV, Raven (Raven Pro User's Manual, chapter 6) and BirdNET-Analyzer (`--rtype` csv, r and table).
Raven's begin time counts from the start of the first of several recordings, its file offset from
the start of the recording that contains the selection."""

RAVEN = "begin time (s)"
"""Onset column of Raven, which does not quote values."""

LABELS = re.compile(r"\s*-?\d[\d.,]*\t\s*-?\d[\d.,]*(\t|\s*$)")
"""A line of an Audacity label file: onset, offset, label (Audacity Manual, "Importing and Exporting
Labels"). BirdNET adds a score. A line that begins with a backslash gives the frequencies of the
label above."""

APPENDED = re.compile(
    r"(\.BirdNET(\.results|\.selection\.table)?|(\.Table\.\d+)?\.selections)?\.(txt|csv|tsv)$",
    re.IGNORECASE,
)
"""Suffixes that tools append to a recording's name for its label file."""

LEGACY = "windows-1252"
"""Encoding of label files that are not Unicode, such as Raven's on Windows."""

NO_CALL = "nocall"
"""BirdNET's label of a recording in which it found nothing."""

Found = tuple[str, Detection | None]
"""A recording's name, empty if not given, and an event; None: the recording is in the file but may
have no events."""


class UnknownFormatError(SedmtlError):
    """A file is in no known label format."""


def own_name(file_name: str) -> str:
    """Name of the recording that a label file describes, from the file's name."""
    return APPENDED.sub("", file_name)


def read_file(path: Path, name: str) -> dict[str, list[Detection]]:
    """Read the events of each recording in a label file, in order.

    Args:
        path: The file.
        name: Its name, optionally with parent folders.

    Raises:
        SedmtlError: As in `label_files.read_detections`.
    """
    text = table_text(path, LEGACY)
    first = next((line for line in text.splitlines() if line.strip()), "")
    is_audacity = LABELS.match(first) or (not first and path.suffix.lower() == ".txt")
    rows = _labels(text, path) if is_audacity else _table(text, first, path)
    found: dict[str, dict[Detection, None]] = {}
    for recording, event in rows:
        events = found.setdefault(recording or own_name(name), {})
        if event is not None:
            events[event] = None
    return {recording: list(events) for recording, events in found.items()}


def _labels(text: str, path: Path) -> Iterator[Found]:
    """Parse Audacity labels."""
    yield "", None
    n_moments = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("\\"):
            continue
        onset, offset, label, score, *_ = [cell.strip() for cell in [*line.split("\t"), "", "", ""]]
        if label and onset == offset:
            n_moments += 1
        else:
            cells = {"onset": onset, "offset": offset, "label": label, "score": score}
            yield "", _event(cells, f"{path}, line {number}")
    if n_moments:
        say(f"warning: {path}: left out {counted(n_moments, 'label')} of zero length")


def _table(text: str, header: str, path: Path) -> Iterator[Found]:
    """Parse a table with a header."""
    delimiter = next((mark for mark in "\t;,|" if mark in header), ",")
    columns = _columns(header, delimiter, path)
    used = [name for names in columns.values() for name in names]
    is_raven = columns["onset"][0].lower() == RAVEN
    rows = parse_table(text, path, used, delimiter, quoted=not is_raven)
    names = [_first(row, columns["filename"]) for row in rows]
    if not columns["filename"]:
        yield "", None
    elif not rows:
        raise SedmtlError(f"{path} has a header but no rows: add at least one")
    if is_raven and len(set(names)) > 1 and not columns["file_offset"]:
        raise SedmtlError(
            f"{path} lists {len(set(names))} recordings, and Raven's times count from the start of "
            "the first: expected the column File Offset (s), a measurement that Raven can add"
        )
    is_birdnet = any(name.lower().startswith("common") for name in columns["label"])
    for row, name in zip(rows, names, strict=True):
        cells = {field: _first(row, found) for field, found in columns.items() if found}
        where = f"{path}, line {row.line}"
        if columns["filename"] and not name:
            raise _unexpected(where, cells)
        is_empty = is_birdnet and cells["label"] == NO_CALL
        yield name, None if is_empty else _event(cells, where)


def _columns(header: str, delimiter: str, path: Path) -> dict[str, list[str]]:
    """Names of the columns that each field may come from; optional fields may have none."""
    found = [cell.strip(' "\r') for cell in header.split(delimiter)]
    by_name = {cell.lower(): cell for cell in found}
    columns = {
        field: [by_name[name] for name in names if name in by_name]
        for field, names in COLUMNS.items()
    }
    missing = [COLUMNS[field][0] for field in ("onset", "offset", "label") if not columns[field]]
    if missing:
        raise UnknownFormatError(
            f"{path} should have the columns filename, onset, offset, event_label, or hold labels "
            f"of Audacity, Raven or BirdNET; missing: {', '.join(missing)}; found: "
            f"{', '.join(found)[:200] or 'nothing'}"
        )
    return columns


def _event(cells: Mapping[str, str], where: str) -> Detection:
    """Make an event from its cells by field.

    Raises:
        SedmtlError: Its times are not numbers or in the wrong order, or it has no label.
    """
    try:
        onset_s, offset_s = _number(cells["onset"]), _number(cells["offset"])
        if cells.get("file_offset"):
            begin_s = _number(cells["file_offset"])
            onset_s, offset_s = begin_s, begin_s + offset_s - onset_s
        score = _number(cells["score"]) if cells.get("score") else math.nan
    except ValueError:
        raise SedmtlError(
            f"{where}: onset and offset should be seconds, a score a number, found {dict(cells)}"
        ) from None
    if not 0 <= onset_s < offset_s < math.inf or not cells["label"]:
        raise _unexpected(where, cells)
    return Detection(class_name(cells["label"]), onset_s, offset_s, score)


def _number(text: str) -> float:
    """Parse a number, with a decimal point or comma."""
    return float(text.replace(",", "."))


def _first(row: Mapping[str, str], names: Sequence[str]) -> str:
    """First value that is not empty."""
    return next((row[name] for name in names if row[name]), "")


def _unexpected(where: str, cells: Mapping[str, str]) -> SedmtlError:
    return SedmtlError(
        f"{where}: expected a filename, 0 <= onset < offset and a label, found {dict(cells)}"
    )
