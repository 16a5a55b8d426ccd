"""A custom CSV: `file,label`, and optionally `recording` (events) or `location` (scenes)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sedmtl.config import Config, Table
from sedmtl.data.corpora.recordings import EventClip, Row, Scene, listed_files


def events(settings: Table, config: Config) -> Sequence[EventClip]:
    """One event clip per row; rows that share a `recording` share a fold."""
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


def _rows(settings: Table, config: Config) -> list[tuple[Row, Path]]:
    table = config.locate(settings.csv or settings.root or Path())
    root = config.locate(settings.root) if settings.csv and settings.root else table.parent
    return listed_files(table, root, ("file", "label"), "each row needs a label")
