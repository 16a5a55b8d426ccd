"""The recordings that a command line names: files, folders, and what tables call them.

Folders are searched here; no file is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from sedmtl.data import audio
from sedmtl.runtime.errors import SedmtlError


class Source(NamedTuple):
    """A recording by its name in tables and its path."""

    name: str
    path: Path

    def beside(self, folder: Path, suffix: str) -> Path:
        """Where a file about it goes: its name below a folder, with a suffix added.

        The suffix stands behind that of the audio, so that a.wav and a.flac do not share a file.
        """
        name = PurePath(self.name)
        parts = [part for part in name.parts if part not in (name.anchor, "..")]
        return folder.joinpath(*parts[:-1], parts[-1] + suffix)


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """Find the recordings that were asked for, each once.

    A file is called what it was called; one in a folder by its path from there, unless that would
    give two the same name: then all are called by their paths as typed. A missing file and a
    folder without audio stay in the list, to fail when they are opened.

    Raises:
        SedmtlError: A file in a folder has a name that is no UTF-8.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        files = list(audio.files_below(path)) if path.is_dir() else []
        for file in files or [path]:
            name = file.relative_to(path) if files else path
            found.setdefault(file.absolute(), Source(str(name), file))
    sources = list(found.values())
    if len({source.name for source in sources}) < len(sources):
        return [Source(str(path), path) for _, path in sources]
    return sources


def files_about(sources: Sequence[Source], folder: Path, suffix: str) -> list[Path]:
    """A file below a folder for each source.

    Raises:
        SedmtlError: Two of them would be one, as for a.wav and ../a.wav.
    """
    paths = [source.beside(folder, suffix) for source in sources]
    path, count = Counter(paths).most_common(1)[0]
    if count > 1:
        raise SedmtlError(
            f"{count} recordings would have their events written to {path}: predict on them one "
            "after the other, each with another --out"
        )
    return paths
