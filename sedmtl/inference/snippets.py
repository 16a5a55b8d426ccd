"""Detected events as sound files, to listen to: `snippets/CLASS/SCORE_FILE_ONSET_CLASS.wav`.

Sorted by name, those of a class are sorted by score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from sedmtl.data import audio
from sedmtl.events import Detection
from sedmtl.inference.prediction import Prediction
from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError, all_but
from sedmtl.runtime.outputs import Outputs
from sedmtl.runtime.text import counted, file_name

FOLDER = "snippets"

LONGEST_S = 60.0
"""Of an event in a snippet: so memory does not grow with an hour of rain."""

N_BYTES = (120, 60)
"""Of the names of recording and class in a file's name, which file systems limit to 255 bytes."""


@dataclass(frozen=True)
class Snippets:
    """Which snippets are cut.

    Attributes:
        context_s: Sound before and after the event.
        per_class: At most so many of each class, those with the highest scores; None: all.
        ending: `wav` or `flac`.
    """

    context_s: float = 1.0
    per_class: int | None = None
    ending: str = "wav"


Found = tuple[Path, Prediction]
"""A recording and what was found in it."""


def write_snippets(outputs: Outputs, found: Sequence[Found], how: Snippets) -> None:
    """Cut the events of recordings; snippets of earlier calls that are not among them go.

    Raises:
        SedmtlError: Some could not be written, for the reason of the first; the others are.
    """
    folder = outputs.folder / FOLDER
    chosen = _chosen(found, how.per_class)
    paths = _paths(folder, [(name, event) for _, name, event in chosen], how.ending)
    wanted = set(paths)
    for path in outputs.known():
        if path.is_relative_to(folder) and path not in wanted:
            outputs.remove(path)
    failed = []
    with progress.progress("cutting snippets", len(chosen)) as advance:
        for (recording, _, event), path in zip(chosen, paths, strict=True):
            length_s = min(event.offset_s - event.onset_s, LONGEST_S) + 2 * how.context_s
            start_s = event.onset_s - how.context_s
            try:
                content = audio.excerpt(recording, start_s, length_s, how.ending)
                outputs.write(path, content)
            except SedmtlError as error:
                failed.append(error)
            advance(1)
    progress.say(_report(chosen, folder))
    if failed:
        raise all_but(failed, "snippet")


def _chosen(found: Iterable[Found], per_class: int | None) -> list[tuple[Path, str, Detection]]:
    """The recording, its name and the event of each snippet, by recording and onset."""
    events = [
        (path, prediction.filename, event)
        for path, prediction in found
        for event in prediction.events
    ]
    if per_class is None:
        return events
    best = sorted(range(len(events)), key=lambda number: -events[number][2].score)
    n_taken = Counter[str]()
    taken = set()
    for number in best:
        label = events[number][2].label
        if n_taken[label] < per_class:
            n_taken[label] += 1
            taken.add(number)
    return [events[number] for number in sorted(taken)]


def _paths(folder: Path, events: Iterable[tuple[str, Detection]], ending: str) -> list[Path]:
    """A file for each event, whatever its recording and class are called; none twice."""
    paths: list[Path] = []
    taken = Counter[str]()
    for name, event in events:
        label = _cut(file_name(event.label), N_BYTES[1])
        recording = _cut(file_name(str(PurePath(name).with_suffix(""))), N_BYTES[0], from_end=True)
        stem = f"{event.score:.3f}_{recording}_{event.onset_s:.2f}_{label}"
        path = folder / label / f"{stem}.{ending}"
        taken[str(path).casefold()] += 1
        number = taken[str(path).casefold()]
        paths.append(path if number == 1 else path.with_name(f"{stem}~{number}.{ending}"))
    return paths


def _cut(name: str, n_bytes: int, *, from_end: bool = False) -> str:
    content = name.encode()
    kept = content[-n_bytes:] if from_end else content[:n_bytes]
    return kept.decode(errors="ignore")


def _report(chosen: Sequence[tuple[Path, str, Detection]], folder: Path) -> str:
    n_long = sum(event.offset_s - event.onset_s > LONGEST_S for *_, event in chosen)
    cut = f", {n_long} of them of the first {LONGEST_S:g} s of longer events" if n_long else ""
    return f"{counted(len(chosen), 'snippet')} in {folder}{cut}"
