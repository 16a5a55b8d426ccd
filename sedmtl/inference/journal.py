"""The journal of a batch: what was found in each recording, a line as soon as it is done.

An interrupted batch goes on from it. Its first line says what decides the results; a batch of
which that is not true any more begins a new one. A line that a kill left half written, or that is
not what was written, is dropped with those behind it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from sedmtl.events import Detection
from sedmtl.inference.prediction import Prediction
from sedmtl.runtime.atomic import make_folder
from sedmtl.runtime.documents import parse_json, sealed, unsealed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.origin import Origin, Stamp

SCHEMA = 2


class Journal:
    """An open journal, whose folder is made; a context manager.

    Its `basis` is what decides the results: plain values by what they are called.

    Raises:
        SedmtlError: It cannot be written.

    Attributes:
        changed: What is not as in the journal that was there, for which a new one was begun.
    """

    def __init__(self, path: Path, basis: Mapping[str, Any]) -> None:
        self.path = path
        self.changed: list[str] = []
        self._entries: dict[str, tuple[Stamp, Prediction]] = {}
        origin = Origin({"schema": SCHEMA, **basis})
        make_folder(path.parent)
        with ExitStack() as stack:
            try:
                self._file = path.open("a+b")
                stack.callback(self.__exit__)
                self._resume(origin)
            except OSError as error:
                raise self._unwritable(error) from error
            stack.pop_all()  # whole: it stays open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Each line was flushed: what closing can fail at has been said.
        with suppress(OSError):
            self._file.close()

    def find(self, path: Path) -> Prediction | None:
        """What was found in a file; None if it is not known, or the file has changed since."""
        stamp, found = self._entries.get(_key(path), (None, None))
        return found if stamp == Stamp.of(path) else None

    def add(self, path: Path, stamp: Stamp, found: Prediction) -> None:
        """Write what was found, but for the scores, in a file that had a stamp when it was read.

        Raises:
            SedmtlError: It cannot be written.
        """
        self._entries[_key(path)] = stamp, found
        facts = {name: getattr(found, name) for name in ("duration_s", "events", "tags")}
        self._write({"path": _key(path), "stamp": stamp, **facts})

    def _resume(self, origin: Origin) -> None:
        """Read what is there, up to the first line that is not whole; cut the rest off."""
        self._file.seek(0)
        found = Origin(_parse(self._file.readline()))
        if not found.is_current(origin):
            self.changed = found.changes(origin) if self._file.tell() else []
            self._file.truncate(0)
            self._write(origin.decides)
            return
        end = self._file.tell()
        for line in self._file:
            try:
                content = _parse(line)
                self._entries[str(content["path"])] = _entry(content)
            except (LookupError, TypeError, ValueError):  # the line is not whole, or not ours
                break
            end += len(line)
        self._file.truncate(end)

    def _write(self, content: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(sealed(content)).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> SedmtlError:
        return SedmtlError(f"cannot write {self.path}: {error.strerror}")


def _key(path: Path) -> str:
    return str(path.absolute())


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
    return stamp, Prediction(float(content["duration_s"]), events, tags)
