"""The recordings that a command line names: files and folders, and the names of what they become.

Folders are searched here; no audio file is opened.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from pathlib import Path, PurePath
from typing import NamedTuple

from sedmtl.data import audio
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import Outputs
from sedmtl.store import store_of_wav


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
        *folders, last = parts or ["_"]  # of the folder `..`, which holds no audio
        return folder.joinpath(*folders, last + suffix)


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The recordings that were asked for, each once.

    A file is called what it was called; one in a folder by its path from there, unless that would
    give two the same name: then all are called by their paths as typed. Among others, a missing
    file, a folder without audio and one that cannot be read stay in the list, to fail when they are
    opened.

    Raises:
        SedmtlError: There is no file at all, or one in a folder has a name that is no UTF-8.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        files, unreadable = audio.search(path)
        for file in [*files, *unreadable] or [path]:
            name = path if file == path else file.relative_to(path)
            found.setdefault(file.absolute(), Source(str(name), file))
    sources = list(found.values())
    # Path's method raises if a parent folder is not readable.
    if not any(os.path.isfile(source.path) for source in sources):  # noqa: PTH113
        audio.probe_all([source.path for source in sources])
    if len({source.name for source in sources}) < len(sources):
        return [Source(str(path), path) for _, path in sources]
    return sources


def files_about(
    sources: Sequence[Source], folder: Path, suffixes: Iterable[str], others: Iterable[Path] = ()
) -> dict[str, list[Path]]:
    """By suffix, a file below a folder for each source.

    Raises:
        SedmtlError: Two of them would be one, as for a.wav and ../a.wav, or one of the `others`.
    """
    files = {suffix: [source.beside(folder, suffix) for source in sources] for suffix in suffixes}
    path, n_files = Counter(chain(others, *files.values())).most_common(1)[0]
    if n_files > 1:
        raise SedmtlError(
            f"{n_files} files would be written to {path}: rename a recording, or predict on them "
            "one after the other, each with another --out"
        )
    return files


def outputs_of(audio_path: Path, folder: Path) -> Outputs:
    """What is made from a recording in a folder where others of its name have theirs."""
    return Outputs(folder, of=str(audio_path.resolve()))


def free_path(
    outputs: Outputs, work_dir: Path, audio_path: Path, files: Callable[[Path], Iterable[Path]]
) -> Path:
    """A path below a folder, without suffix, for what is made from one recording.

    The name is the recording's, below the name of its store if `sedmtl mix` wrote the recording:
    `snr_10/mix_002`. If a file there is of another recording or is the user's, the name is
    `clip-2`. The caller is `alone` with the outputs.

    Args:
        outputs: As of `outputs_of`.
        work_dir: Of the project.
        audio_path: The recording.
        files: All that could be written for it, given such a path.
    """
    store_path = store_of_wav(work_dir, audio_path)
    folder = outputs.folder / store_path.stem if store_path else outputs.folder
    stem = audio_path.stem if audio_path.stem.strip(".") else "_"  # of `...wav` it is `..`
    paths = (folder / (stem if n == 1 else f"{stem}-{n}") for n in count(1))
    return next(path for path in paths if all(map(outputs.is_free, files(path))))
