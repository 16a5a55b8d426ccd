"""A custom CSV: `file,label`, and optionally `recording` (events) or `location` (scenes)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sedmtl.config import Config, Table
from sedmtl.data.corpora.recordings import EventClip, Scene, file_below
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.tables import read_table


def events(settings: Table, config: Config) -> Sequence[EventClip]:
    """One event clip per row; rows that share a `recording` share a fold.

    Raises:
        SedmtlError: The CSV or a column is missing, a row has no file or label, or a file has
            two rows or is outside the root.
    """
    return [
        EventClip(row["file"], path, row["label"], row.get("recording") or row["file"])
        for row, path in _rows(settings, config)
    ]


def scenes(settings: Table, config: Config) -> Sequence[Scene]:
    """One scene per row; without a `location` each file counts as a separate location."""
    return [
        Scene(row["file"], path, row["label"], row.get("location") or row["file"])
        for row, path in _rows(settings, config)
    ]


def _rows(settings: Table, config: Config) -> list[tuple[dict[str, str], Path]]:
    """The rows with their files, sorted by name."""
    table = config.locate(settings.csv or settings.root or Path())
    root = config.locate(settings.root) if settings.csv and settings.root else table.parent
    rows = read_table(table, ("file", "label"), unique="file")
    for row in rows:
        if not row["label"]:
            raise SedmtlError(f"{table}: each row needs a label, found {row}")
    rows.sort(key=lambda row: row["file"])
    return [(row, file_below(root, row["file"], table)) for row in rows]
