"""A record of recordings that failed to decode, so that they are not decoded again every time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sedmtl.data.clips import LabelledClips
from sedmtl.runtime.atomic import make_folder, write_text
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.origin import Stamp
from sedmtl.runtime.regular import read_bytes


class UnreadableRecordingError(SedmtlError):
    """A recording cannot be decoded."""


class Faults:
    """The recordings of a table that could not be decoded.

    Args:
        path: File of the record; an unreadable one counts as empty.
        clips: The table.
    """

    def __init__(self, path: Path, clips: LabelledClips) -> None:
        self._path, self._clips = path, clips

    def known(self) -> dict[int, str]:
        """Errors by row, for files that have not changed since."""
        try:
            kept = parse_json(read_bytes(self._path))
            found = {}
            for row, (name, path) in enumerate(
                zip(self._clips.name, self._clips.paths, strict=True)
            ):
                if name in kept:
                    *stamp, text = kept[name]
                    if Stamp(*stamp) == Stamp.of(path):
                        found[row] = str(text)
            return found
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def keep(self, errors: Mapping[int, SedmtlError]) -> None:
        """Add errors, by row, to the record."""
        found = {**self.known(), **{row: str(error) for row, error in errors.items()}}
        kept = {
            self._clips.name[row]: [*Stamp.of(self._clips.paths[row]), text]
            for row, text in found.items()
        }
        make_folder(self._path.parent)
        write_text(self._path, json.dumps(kept, indent=1, ensure_ascii=False))
