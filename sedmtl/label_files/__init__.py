"""Strong labels from files: our own tables, and files of Audacity, Raven and BirdNET.

`formats` reads one file, `names` matches names in files to recordings. The opposite direction, from
predictions to files, is `inference.exporters`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sedmtl.events import Detection, Event
from sedmtl.label_files.formats import UnknownFormatError, own_name, read_file
from sedmtl.label_files.names import best_fits, by_recording, path_parts
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.folders import is_file, tree
from sedmtl.runtime.progress import say
from sedmtl.runtime.text import counted

__all__ = ["by_recording", "labels_of_file", "path_parts", "read_detections", "read_strong_labels"]

ENDINGS = (".txt", ".csv", ".tsv")
"""Extensions of the label files in a folder."""

ROUNDED_S = 2e-3
"""Tolerance of times: our tables round them to milliseconds, Audacity and Raven to microseconds."""


def read_strong_labels(path: Path) -> dict[str, list[Event]]:
    """Read the events of each recording from a file, or from a folder of label files.

    Returns:
        The events by the recordings' names in the files; `by_recording` matches them to recordings.

    Raises:
        SedmtlError: As in `read_detections`.
    """
    found = read_detections(path)
    return {name: [Event(*each[:3]) for each in events] for name, events in found.items()}


def read_detections(path: Path) -> dict[str, list[Detection]]:
    """Read events like `read_strong_labels`, with scores; NaN if there is none.

    An event that is listed twice, as by two views in Raven, counts once.

    Raises:
        SedmtlError: A file cannot be read or has an unknown format, a row's times are not numbers
            or in the wrong order, or two files of a folder disagree about a recording.
    """
    if not path.is_dir():
        return read_file(path, path.name)
    found: dict[str, list[Detection]] = {}
    files: dict[str, Path] = {}
    strange = []
    for file in tree(path)[0]:
        if not file.name.lower().endswith(ENDINGS):
            continue
        try:
            of_file = read_file(file, file.relative_to(path).as_posix())
        except UnknownFormatError:
            strange.append(file)
            continue
        for name, events in of_file.items():
            if not _agree(found.setdefault(name, events), events):
                raise SedmtlError(
                    f"expected one list of the events of {name}, found two that differ, in "
                    f"{files[name]} and {file}: keep one of these files in {path}"
                )
            files.setdefault(name, file)
    if not found:
        raise SedmtlError(f"expected label files in the folder {path}, found none")
    if strange:
        n_files = counted(len(strange), "file")
        say(f"warning: found no labels in {n_files} of {path}, the first {strange[0]}")
    return found


def _agree(some: Sequence[Detection], others: Sequence[Detection]) -> bool:
    """Whether two lists hold the same events, up to rounding of times and without scores."""
    return len(some) == len(others) and all(
        one.label == other.label
        and abs(one.onset_s - other.onset_s) < ROUNDED_S
        and abs(one.offset_s - other.offset_s) < ROUNDED_S
        for one, other in zip(some, others, strict=True)
    )


def labels_of_file(path: Path, audio_path: Path) -> Sequence[Event]:
    """Read the strong labels of one recording from a file or a folder of label files.

    A file that names no recording is assumed to describe this one, with a warning if it is named
    after another recording in the same folder. Otherwise a name matches if it is the end of the
    recording's path (the longest match counts) or another path with the same file name.

    Raises:
        SedmtlError: No name matches, or several match equally well; or as in `read_detections`.
    """
    labels = read_strong_labels(path)
    own = own_name(path.name)
    if path.is_file() and list(labels) == [own]:
        ending = audio_path.suffix
        other = audio_path.with_name(f"{own.removesuffix(ending)}{ending}")
        if other != audio_path and is_file(other):
            say(f"warning: {path} is named after {other}, but its labels are used for {audio_path}")
        return labels[own]
    fitting = best_fits(str(audio_path.absolute()), labels)
    if not fitting:
        raise SedmtlError(f"{path} has no row for {audio_path.name}")
    if len(fitting) > 1:
        raise SedmtlError(
            f"{path} has rows for {' and '.join(fitting[:3])}, which fit {audio_path} equally "
            f"well: name the file in the table as {audio_path.name}, or by its path"
        )
    return labels[fitting[0]]
