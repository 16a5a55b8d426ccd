"""Finds the recordings given on a command line, and names their output files.

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
    """A recording: its name in tables and its path."""

    name: str
    path: Path

    def output_path(self, folder: Path, suffix: str) -> Path:
        """Path of an output file: the recording's name below a folder, with a suffix added.

        The audio file's own suffix is kept, so that a.wav and a.flac do not share a file.
        """
        name = PurePath(self.name)
        parts = [part for part in name.parts if part not in (name.anchor, "..")]
        *folders, last = parts or ["_"]  # for the folder `..`, if it holds no audio
        return folder.joinpath(*folders, last + suffix)


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """Find the recordings in files and folders, without duplicates.

    A file keeps the name it was given by; files in a folder are named by their path relative to
    it. If that would give two recordings the same name, all are named by their full paths as typed.
    Missing files, folders without audio and unreadable ones stay in the list if there are other
    files, and fail when they are opened.

    Raises:
        SedmtlError: There is no file at all, or a file in a folder has a name that is not UTF-8.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        files, unreadable = audio.search(path)
        for file in [*files, *unreadable] or [path]:
            name = path if file == path else file.relative_to(path)
            found.setdefault(file.absolute(), Source(str(name), file))
    sources = list(found.values())
    # Path.is_file raises if a parent folder is not readable.
    if not any(os.path.isfile(source.path) for source in sources):  # noqa: PTH113
        audio.probe_all([source.path for source in sources])
    if len({source.name for source in sources}) < len(sources):
        return [Source(str(path), path) for _, path in sources]
    return sources


def files_about(
    sources: Sequence[Source], folder: Path, suffixes: Iterable[str], others: Iterable[Path] = ()
) -> dict[str, list[Path]]:
    """Output files below a folder, by suffix, one per source.

    Raises:
        SedmtlError: Two would have the same path, as for a.wav and ../a.wav, or one of `others`.
    """
    files = {
        suffix: [source.output_path(folder, suffix) for source in sources] for suffix in suffixes
    }
    path, n_files = Counter(chain(others, *files.values())).most_common(1)[0]
    if n_files > 1:
        raise SedmtlError(
            f"{n_files} files would be written to {path}: rename a recording, or predict on them "
            "separately, each with another --out"
        )
    return files


def outputs_of(audio_path: Path, folder: Path) -> Outputs:
    """Outputs for one recording in a folder that is shared with others of the same name."""
    return Outputs(folder, of=str(audio_path.resolve()))


def free_path(
    outputs: Outputs, work_dir: Path, audio_path: Path, files: Callable[[Path], Iterable[Path]]
) -> Path:
    """A free path below a folder, without suffix, for the output of one recording.

    The name is the recording's, below its store's name if `sedmtl mix` wrote the recording:
    `snr_10/mix_002`. If a file there belongs to another recording or to the user, the name becomes
    `clip-2`, and so on. The caller must hold `outputs.alone()`.

    Args:
        outputs: As returned by `outputs_of`.
        work_dir: The project's work folder.
        audio_path: The recording.
        files: Returns all files that could be written for such a path.
    """
    store_path = store_of_wav(work_dir, audio_path)
    folder = outputs.folder / store_path.stem if store_path else outputs.folder
    stem = audio_path.stem if audio_path.stem.strip(".") else "_"  # the stem of `...wav` is `..`
    paths = (folder / (stem if n == 1 else f"{stem}-{n}") for n in count(1))
    return next(path for path in paths if all(map(outputs.is_free, files(path))))
