"""The journal of a prediction batch: one line per finished recording, for resuming.

Each line has the hash of everything that determines its result. Lines of other settings are kept
and reused when those settings return. A header line lists what a hash stands for. Lines are only
appended; a partial line left by a kill is truncated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from sedmtl.events import Detection
from sedmtl.inference.prediction import Prediction
from sedmtl.runtime.atomic import write_bytes
from sedmtl.runtime.documents import parse_json, sealed, unsealed
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.origin import Origin, Stamp
from sedmtl.runtime.regular import open_own

SCHEMA = 5


class Journal:
    """A journal, created when the first line is added; a context manager.

    Args:
        path: Path of the file.
        basis: Plain values that determine the results, by display name.

    Raises:
        SedmtlError: The file is not a journal, or cannot be read.

    Attributes:
        changed: Names of values that differ from the last ones used, if the journal has no lines
            for this basis.
    """

    def __init__(self, path: Path, basis: Mapping[str, Any]) -> None:
        self.path = path
        self.changed: list[str] = []
        self._origin = Origin({"schema": SCHEMA, **basis})
        self._entries: dict[str, tuple[Stamp, Prediction]] = {}
        self._has_heading = False
        self._file: IO[bytes] | None = None
        absent = suppress(FileNotFoundError)
        with explained(f"cannot read {path}"), absent, open_own(path, "rb") as file:
            self._read(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Each line was flushed, so errors have already been reported.
        with suppress(OSError):
            if self._file is not None:
                self._file.close()

    def find(self, path: Path) -> Prediction | None:
        """The prediction for a file; None if it is unknown, or the file has changed since."""
        stamp, found = self._entries.get(_key(path), (None, None))
        return found if stamp == Stamp.of(path) else None

    def add(self, path: Path, stamp: Stamp, found: Prediction) -> None:
        """Append the prediction for a file, without frames.

        Args:
            path: The file.
            stamp: Its stamp when it was read.
            found: The prediction.

        Raises:
            SedmtlError: It cannot be written.
        """
        self._entries[_key(path)] = stamp, found
        facts = {name: getattr(found, name) for name in ("duration_s", "events", "tags")}
        facts["clip"] = [round(score, 6) for score in found.clip.tolist()]
        line = {"basis": self._origin.hash, "path": _key(path), "stamp": stamp, **facts}
        with explained(f"cannot write {self.path}"):
            file = self._file = self._file or self._open()
            file.write(_line(line))
            file.flush()

    def _read(self, file: IO[bytes]) -> None:
        """Read the lines of this basis, skipping damaged ones.

        Raises:
            SedmtlError: The first line is not a journal header.
        """
        last: Origin | None = None
        for number, line in enumerate(file):
            content = _parse(line)
            if not number and "schema" not in content:
                raise SedmtlError(
                    f"{self.path} is not a journal of sedmtl, or its first line has been changed: "
                    "move it away, or name another --out"
                )
            if "schema" in content:
                last = Origin(content)
            elif content.get("basis") == self._origin.hash:
                with suppress(LookupError, TypeError, ValueError):  # malformed content
                    self._entries[str(content["path"])] = _entry(content)
        self._has_heading = last is not None and last.is_current(self._origin)
        if last is not None and not (self._has_heading or self._entries):
            self.changed = last.changes(self._origin)

    def _open(self) -> IO[bytes]:
        """Open the journal for appending, with a complete last line and a header of this basis."""
        heading = _line(self._origin.decides)
        if not self._has_heading and not Stamp.of(self.path).size > 0:
            write_bytes(self.path, heading)  # the first line identifies the file as ours
            self._has_heading = True
        file = open_own(self.path, "a+b")
        file.seek(0)
        # Remove a partial line left by a kill.
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
        file.write(b"" if self._has_heading else heading)
        return file


def _key(path: Path) -> str:
    return str(path.absolute())


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(sealed(content)).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    """The object on a line; empty if the line is incomplete or damaged."""
    try:
        content = parse_json(line) if line.endswith(b"\n") else None
        return unsealed(content) if isinstance(content, dict) else {}
    except ValueError:
        return {}


def _entry(content: Mapping[str, Any]) -> tuple[Stamp, Prediction]:
    """Parse a line's content; raises LookupError, TypeError or ValueError if it is malformed."""
    events = [
        Detection(str(label), float(onset_s), float(offset_s), float(score))
        for label, onset_s, offset_s, score in content["events"]
    ]
    tags = [(str(label), float(score)) for label, score in content["tags"]]
    stamp = Stamp(*map(int, content["stamp"]))
    clip = np.array(content["clip"], np.float32)
    return stamp, Prediction(float(content["duration_s"]), events, tags, clip=clip)
