"""The journal of a batch: what was found in each recording, a line as soon as it is done.

An interrupted batch goes on from it. Each line has the hash of what decides its result: lines of
other settings stay, and are there when these settings return. A heading says what a hash stands
for. Lines are only added; of a line that a kill left half written, the half is cut off.
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
    """A journal that is written when there is something to add; a context manager.

    Its `basis` is what decides the results: plain values by what they are called.

    Raises:
        SedmtlError: A file in its place is no journal, or cannot be read.

    Attributes:
        changed: What is not as in the last lines of the journal, if it has none of this basis.
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
        # Each line was flushed: what closing can fail at has been said.
        with suppress(OSError):
            if self._file is not None:
                self._file.close()

    def find(self, path: Path) -> Prediction | None:
        """What was found in a file; None if it is not known, or the file has changed since."""
        stamp, found = self._entries.get(_key(path), (None, None))
        return found if stamp == Stamp.of(path) else None

    def add(self, path: Path, stamp: Stamp, found: Prediction) -> None:
        """Write what was found, but for frames, in a file that had a stamp when it was read.

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
        """Take up the lines of this basis; those that are not whole are passed over.

        Raises:
            SedmtlError: The first line is not one of ours.
        """
        last: Origin | None = None
        for number, line in enumerate(file):
            content = _parse(line)
            if not number and "schema" not in content:
                raise SedmtlError(
                    f"{self.path} is no journal that sedmtl wrote, or its first line has been "
                    "changed: move it away, or name another --out"
                )
            if "schema" in content:
                last = Origin(content)
            elif content.get("basis") == self._origin.hash:
                with suppress(LookupError, TypeError, ValueError):  # the line is not one of ours
                    self._entries[str(content["path"])] = _entry(content)
        self._has_heading = last is not None and last.is_current(self._origin)
        if last is not None and not (self._has_heading or self._entries):
            self.changed = last.changes(self._origin)

    def _open(self) -> IO[bytes]:
        """Open the journal, whose last line then is whole, under a heading of this basis."""
        heading = _line(self._origin.decides)
        if not self._has_heading and not Stamp.of(self.path).size > 0:
            write_bytes(self.path, heading)  # the first line, which shows that it is ours
            self._has_heading = True
        file = open_own(self.path, "a+b")
        file.seek(0)
        # What a kill has left behind the last line break.
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
        file.write(b"" if self._has_heading else heading)
        return file


def _key(path: Path) -> str:
    return str(path.absolute())


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(sealed(content)).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    """The object on a line; nothing if the line is not whole."""
    try:
        content = parse_json(line) if line.endswith(b"\n") else None
        return unsealed(content) if isinstance(content, dict) else {}
    except ValueError:
        return {}


def _entry(content: Mapping[str, Any]) -> tuple[Stamp, Prediction]:
    """What a line says; raises what wrong values raise."""
    events = [
        Detection(str(label), float(onset_s), float(offset_s), float(score))
        for label, onset_s, offset_s, score in content["events"]
    ]
    tags = [(str(label), float(score)) for label, score in content["tags"]]
    stamp = Stamp(*map(int, content["stamp"]))
    clip = np.array(content["clip"], np.float32)
    return stamp, Prediction(float(content["duration_s"]), events, tags, clip=clip)
