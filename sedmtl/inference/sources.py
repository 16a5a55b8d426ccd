"""The recordings that a command line names: files and folders, and the names of what they become.

Folders are searched here; no audio file is opened.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path, PurePath
from typing import NamedTuple

from sedmtl.data import audio
from sedmtl.runtime.atomic import make_folder
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import store_of_wav

RESERVED_S = 60.0
"""How long a recording keeps a name before its output is there."""


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
    """The recordings that were asked for, each once.

    A file is called what it was called; one in a folder by its path from there, unless that would
    give two the same name: then all are called by their paths as typed. A missing file, a
    folder without audio and one that cannot be read stay in the list, to fail when they are opened.

    Raises:
        SedmtlError: A file in a folder has a name that is no UTF-8.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        files, unreadable = audio.search(path)
        for file in [*files, *unreadable] or [path]:
            name = path if file == path else file.relative_to(path)
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


def claim_output(work_dir: Path, out_dir: Path, audio_path: Path, suffixes: Sequence[str]) -> Path:
    """A path in a folder, without its suffix, for what is made from one recording.

    The name is the recording's, below the name of its store if `sedmtl mix` wrote the recording:
    `snr_10/mix_002`. A hidden file beside the output records which recording it was made from;
    another recording of the same name gets `clip-2`, and so does one whose output would replace a
    file without such a record. A name is free again after its output was deleted.

    `suffixes` are those of all files that are made from a recording there; empty for a folder.

    Raises:
        SedmtlError: The folder cannot be written.
    """
    store_path = store_of_wav(work_dir, audio_path)
    folder = out_dir / store_path.stem if store_path else out_dir
    make_folder(folder)
    names = (audio_path.stem if n == 1 else f"{audio_path.stem}-{n}" for n in count(1))
    return folder / next(name for name in names if _claim(folder, name, audio_path, suffixes))


def _claim(folder: Path, name: str, audio_path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a name belongs to a recording: since earlier, or from now on."""
    record, origin = folder / f".{name}.of", os.fsencode(audio_path.resolve())
    is_written = any((folder / f"{name}{suffix}").exists() for suffix in suffixes)
    try:
        if record.exists():
            if record.read_bytes() == origin:
                return True
            # Its owner may be about to write.
            if is_written or time.time() - record.stat().st_mtime < RESERVED_S:
                return False
            record.unlink(missing_ok=True)
        elif is_written:
            return False
        with record.open("xb") as file:
            file.write(origin)
    except FileExistsError:  # another process was faster
        return False
    except OSError as error:
        raise SedmtlError(f"cannot write {record}: {error.strerror}") from error
    return True
