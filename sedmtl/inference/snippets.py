"""Cuts detected events out as sound files: `snippets/CLASS/SCORE_FILE_ONSET_CLASS.wav`.

Sorting a class's files by name sorts them by score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
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
"""Longest part of an event in a snippet, which bounds memory use (for an hour of rain)."""

N_BYTES = (120, 60)
"""Longest recording and class names in a file name, which file systems limit to 255 bytes."""


@dataclass(frozen=True)
class Snippets:
    """Which snippets to cut.

    Attributes:
        context_s: Seconds of audio before and after the event.
        per_class: Maximum number per class, highest scores first; None for all.
        ending: `wav` or `flac`.
    """

    context_s: float = 1.0
    per_class: int | None = None
    ending: str = "wav"


Found = tuple[Path, Prediction]
"""A recording and its prediction."""

Chosen = tuple[Path, str, Detection]
"""A snippet's recording, the recording's name, and the event."""


def write_snippets(outputs: Outputs, found: Sequence[Found], how: Snippets) -> None:
    """Cut the events of recordings, and remove other snippets from earlier calls.

    Raises:
        SedmtlError: Some could not be written, with the first reason; the others were.
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
        for content, path in zip(_contents(chosen, how), paths, strict=True):
            try:
                if isinstance(content, SedmtlError):
                    raise content
                outputs.write(path, content)
            except SedmtlError as error:
                failed.append(error)
            advance(1)
    progress.say(_report(chosen, folder))
    if failed:
        raise all_but(failed, "snippet")


def _contents(chosen: Sequence[Chosen], how: Snippets) -> Iterator[bytes | SedmtlError]:
    """Yield the file content or error of each snippet; each recording is read once."""
    for recording, group in groupby(chosen, key=lambda each: each[0]):
        parts = [_part(event, how.context_s) for *_, event in group]
        n_done = 0
        while n_done < len(parts):
            try:
                for content in audio.excerpts(recording, parts[n_done:], how.ending):
                    n_done += 1
                    yield content
            except SedmtlError as error:
                # Other parts of a damaged file may be readable.
                n_done += 1
                yield error


def _part(event: Detection, context_s: float) -> audio.Part:
    length_s = min(event.offset_s - event.onset_s, LONGEST_S) + 2 * context_s
    return audio.Part(event.onset_s - context_s, length_s)


def _chosen(found: Iterable[Found], per_class: int | None) -> list[Chosen]:
    """The snippets to cut, sorted by recording and onset."""
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
    """A unique, portable file path for each event."""
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


def _report(chosen: Sequence[Chosen], folder: Path) -> str:
    n_long = sum(event.offset_s - event.onset_s > LONGEST_S for *_, event in chosen)
    cut = f", {n_long} of them of the first {LONGEST_S:g} s of longer events" if n_long else ""
    return f"{counted(len(chosen), 'snippet')} in {folder}{cut}"
