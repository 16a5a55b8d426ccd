"""The manifest of a corpus: every file that its archives brought, with size and CRC-32.

It lies beside the corpus and grows by an archive as soon as that is unpacked, so it is also what
an interrupted download goes on from.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sedmtl.data.download.catalogue import Archive, Corpus
from sedmtl.data.download.checksums import crc32_of
from sedmtl.data.download.unpacking import Entry
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.errors import SedmtlError

SCHEMA = 1


class Problem(NamedTuple):
    """What is not as it was unpacked: `missing` or `changed`, and which file."""

    what: str
    name: str


class Manifest:
    """The manifest of one corpus below one folder; may be used by several threads.

    Args:
        corpus: Of which.
        to_dir: The folder that holds the corpus' own.

    Raises:
        SedmtlError: There is a file of its name that is no manifest.

    Attributes:
        path: Of the manifest.
        folder: Of the corpus.
    """

    def __init__(self, corpus: Corpus, to_dir: Path) -> None:
        self.corpus = corpus
        self.folder = to_dir / corpus.folder
        self.path = to_dir / f"{corpus.folder}.manifest.json"
        self._lock = threading.Lock()
        self._archives = self._load()

    def add(self, archive: Archive, entries: Sequence[Entry]) -> None:
        """Note what an archive has brought.

        Raises:
            SedmtlError: The manifest cannot be written.
        """
        with self._lock:
            self._archives[archive.name] = (archive.md5, tuple(entries))
            write_text(self.path, self._text())

    def entries(self, archive: Archive) -> Sequence[Entry] | None:
        """What an archive has brought; None if it, as published, was not unpacked yet."""
        md5, entries = self._archives.get(archive.name, ("", ()))
        return entries if md5 == archive.md5 else None

    @property
    def n_bytes(self) -> int:
        """Of all files that were unpacked."""
        return sum(entry.n_bytes for _, entries in self._archives.values() for entry in entries)

    @property
    def n_files(self) -> int:
        """That were unpacked."""
        return sum(len(entries) for _, entries in self._archives.values())

    def is_here(self, archive: Archive) -> bool:
        """Whether every file of an archive is there in its size; the content is not read."""
        entries = self.entries(archive)
        return entries is not None and not any(
            _problem(self.folder / entry.name, entry) for entry in entries
        )

    def check(self, archive: Archive, advance: Callable[[int], None]) -> list[Problem]:
        """Read every file of an archive and compare it.

        Args:
            archive: Of the corpus.
            advance: Called with 1 after each file.

        Returns:
            A problem for each file that is not as it was; one for all of an archive that was
            never unpacked.
        """
        entries = self.entries(archive)
        if entries is None:
            return [Problem("missing", f"all of {archive.name} in {self.folder}")]
        problems = []
        for entry in entries:
            path = self.folder / entry.name
            if problem := _problem(path, entry):
                problems.append(problem)
            elif crc32_of(path) != entry.crc32:
                problems.append(Problem("changed", str(path)))
            advance(1)
        return problems

    def _text(self) -> str:
        archives = {
            name: {
                "md5": md5,
                "files": {entry.name: [entry.n_bytes, f"{entry.crc32:08x}"] for entry in entries},
            }
            for name, (md5, entries) in sorted(self._archives.items())
        }
        content = {"schema": SCHEMA, "corpus": self.corpus.name, "archives": archives}
        return json.dumps(content, indent=0, ensure_ascii=False) + "\n"

    def _load(self) -> dict[str, tuple[str, tuple[Entry, ...]]]:
        try:
            content = json.loads(self.path.read_bytes())
            if (content["schema"], content["corpus"]) != (SCHEMA, self.corpus.name):
                raise ValueError("of another schema or corpus")
            return {
                name: (archive["md5"], tuple(_entries(archive["files"])))
                for name, archive in content["archives"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SedmtlError(
                f"{self.path} is no manifest of {self.corpus.name} ({error!r}): move it away, and "
                "the corpus is unpacked anew"
            ) from error


def _entries(files: dict[str, Any]) -> Iterator[Entry]:
    for name, (n_bytes, crc32) in files.items():
        yield Entry(name, int(n_bytes), int(crc32, 16))


def _problem(path: Path, entry: Entry) -> Problem | None:
    if not path.is_file():
        return Problem("missing", str(path))
    return Problem("changed", str(path)) if path.stat().st_size != entry.n_bytes else None
