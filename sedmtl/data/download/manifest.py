"""The manifest of a corpus: every file of its archives, with size and CRC-32.

It is stored next to the corpus. Each archive is added once it is unpacked, so an interrupted
download resumes from the manifest, and `sedmtl verify` compares the files with it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sedmtl.data.download.catalogue import CORPORA, Archive, Corpus
from sedmtl.data.download.unpacking import Entry
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.progress import progress
from sedmtl.runtime.regular import open_to_read, read_bytes

SCHEMA = 1

CHUNK = 1 << 20


class Problem(NamedTuple):
    """A file that is `missing` or `changed`."""

    what: str
    name: str


@dataclass(frozen=True)
class Report:
    """The state of a corpus: number of files unpacked, number unchanged, and the problems."""

    corpus: Corpus
    n_files: int
    n_fine: int
    problems: Sequence[Problem]


class Manifest:
    """The manifest of a corpus in a folder. Threads may share it.

    Raises:
        SedmtlError: A file of that name exists but is not a manifest.
    """

    def __init__(self, corpus: Corpus, to_dir: Path) -> None:
        self.corpus = corpus
        self.folder = to_dir / corpus.folder
        self.path = to_dir / f"{corpus.folder}.manifest.json"
        self._lock = threading.Lock()
        self._archives = self._load()

    def add(self, archive: Archive, entries: Sequence[Entry]) -> None:
        """Record the files of an archive, and save the manifest."""
        with self._lock:
            self._archives[archive.name] = (archive.md5, tuple(entries))
            write_text(self.path, self._text())

    def entries(self, archive: Archive) -> Sequence[Entry] | None:
        """The files of an archive; None if its published version was not unpacked."""
        md5, entries = self._archives.get(archive.name, ("", ()))
        return entries if md5 == archive.md5 else None

    @property
    def n_bytes(self) -> int:
        """Size of all unpacked files."""
        return sum(entry.n_bytes for _, entries in self._archives.values() for entry in entries)

    @property
    def n_files(self) -> int:
        """Number of unpacked files."""
        return sum(len(entries) for _, entries in self._archives.values())

    def is_here(self, archive: Archive) -> bool:
        """Whether all files of an archive exist with the right size; no content is read."""
        entries = self.entries(archive)
        return entries is not None and not any(map(self._find_problem, entries))

    def check(self, archive: Archive, advance: Callable[[int], None]) -> list[Problem]:
        """Read and compare every file of an archive; `advance` is called after each.

        An archive that was never unpacked counts as one problem.
        """
        entries = self.entries(archive)
        if entries is None:
            return [Problem("missing", f"all of {archive.name} in {self.folder}")]
        problems = []
        for entry in entries:
            if problem := self._find_problem(entry, reads=True):
                problems.append(problem)
            advance(1)
        return problems

    def _find_problem(self, entry: Entry, *, reads: bool = False) -> Problem | None:
        path = self.folder / entry.name
        if not path.is_file():
            return Problem("missing", str(path))
        is_fine = path.stat().st_size == entry.n_bytes
        if is_fine and reads:
            is_fine = crc32_of(path) == entry.crc32
        return None if is_fine else Problem("changed", str(path))

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
            content = json.loads(read_bytes(self.path))
            if (content["schema"], content["corpus"]) != (SCHEMA, self.corpus.name):
                raise ValueError("it belongs to another schema or corpus")
            return {
                archive: (
                    unpacked["md5"],
                    tuple(
                        Entry(name, int(n_bytes), int(crc32, 16))
                        for name, (n_bytes, crc32) in unpacked["files"].items()
                    ),
                )
                for archive, unpacked in content["archives"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SedmtlError(
                f"{self.path} is no manifest of {self.corpus.name} ({error!r}): move it away to "
                "unpack the corpus again"
            ) from error


def verify(corpora: Sequence[Corpus], to_dir: Path) -> list[Report]:
    """Read and compare every file of the corpora, by default of all that have a manifest.

    Raises:
        SedmtlError: A corpus has no manifest, or a file cannot be read.
    """
    manifests = [Manifest(corpus, to_dir) for corpus in corpora or CORPORA.values()]
    found = [manifest for manifest in manifests if manifest.path.exists()]
    missing = [manifest for manifest in manifests if not manifest.path.exists()]
    if missing and (corpora or not found):
        raise SedmtlError(
            f"expected the manifest {missing[0].path}, found no such file: 'sedmtl download' "
            "writes it, also for archives that you have (--from); --to names another folder"
        )
    return [_check(manifest) for manifest in found]


def _check(manifest: Manifest) -> Report:
    problems: list[Problem] = []
    n_fine = 0
    with progress(f"verifying {manifest.corpus.name}", manifest.n_files, unit="files") as advance:
        for archive in manifest.corpus.archives:
            found = manifest.check(archive, advance)
            n_fine += len(manifest.entries(archive) or found) - len(found)
            problems += found
    return Report(manifest.corpus, manifest.n_files, n_fine, problems)


def verify_table(reports: Sequence[Report]) -> list[str]:
    """Format one line per missing or changed file, and one per corpus with the counts."""
    lines = [f"{problem.what} {problem.name}" for report in reports for problem in report.problems]
    rows: list[tuple[str, ...]] = [("corpus", "files", "fine", "missing", "changed")]
    for report in reports:
        counts = Counter(problem.what for problem in report.problems)
        numbers = (report.n_files, report.n_fine, counts["missing"], counts["changed"])
        rows.append((report.corpus.name, *(f"{number:,}" for number in numbers)))
    return lines + [f"{row[0]:<14}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows]


def require_fine(reports: Sequence[Report]) -> None:
    """Raise a `SedmtlError` with the remedy if files are missing or changed."""
    broken = [report.corpus.name for report in reports if report.problems]
    if broken:
        raise SedmtlError(
            f"{' and '.join(broken)}: not as published; delete the changed files, then 'sedmtl "
            f"download {' '.join(broken)}' restores them and the missing ones"
        )


def md5_of(path: Path, advance: Callable[[int], None]) -> str:
    """MD5 sum of a file in hexadecimal digits; `advance` gets the number of bytes just read."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in _chunks(path):
        digest.update(chunk)
        advance(len(chunk))
    return digest.hexdigest()


def crc32_of(path: Path) -> int:
    """CRC-32 of a file, as stated in ZIP archives."""
    crc32 = 0
    for chunk in _chunks(path):
        crc32 = zlib.crc32(chunk, crc32)
    return crc32


def _chunks(path: Path) -> Iterator[bytes]:
    with explained(f"cannot read {path}"), open_to_read(path) as file:
        while chunk := file.read(CHUNK):
            yield chunk
