"""Custom weakly labelled recordings: `corpus.clips`, a CSV.

Its columns are `filename,labels[,fold][,recording]`. True events come from optional label files:
for evaluation, thresholds and `train --supervision strong`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from sedmtl.classes import warn_of_twins
from sedmtl.config import Clips, Config, Mixing
from sedmtl.data.audio import search
from sedmtl.data.corpora.recordings import Row, file_below
from sedmtl.data.folds import folds_by_name, given_folds, groups_of, labels_of_rows, target_of
from sedmtl.data.reservation import reserve, validation_share
from sedmtl.label_files import by_recording, read_strong_labels
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import say
from sedmtl.runtime.tables import read_table
from sedmtl.store import ClipTable, EventTable, check_n_classes


@dataclass(frozen=True)
class LabelledClips(ClipTable):
    """The recordings of the CSV, in its order; `classes` are all labels that occur, sorted."""

    paths: Sequence[Path]
    classes: tuple[str, ...]

    def of(self, rows: npt.NDArray[np.integer]) -> Self:
        """Some of the recordings, in the order given."""
        return replace(
            self,
            name=[self.name[row] for row in rows],
            target=self.target[rows],
            fold=self.fold[rows],
            validation=self.validation[rows],
            scene=[self.scene[row] for row in rows],
            events=self.events.of_clips(rows),
            paths=[self.paths[row] for row in rows],
        )

    def within(self, durations_s: Sequence[float]) -> Self:
        """The same recordings, with events cut to the recordings' durations.

        A label that ends after its recording is cut, because people round times. A label that
        begins after it is an error: it belongs to another recording or uses another unit.

        Raises:
            SedmtlError: An event begins after the end of its recording.
        """
        events = self.events
        end_s = np.asarray(durations_s, np.float32)[events.mixture]
        late = np.flatnonzero(events.onset_s >= end_s)
        if len(late):
            first = late[0]
            raise SedmtlError(
                f"{self.name[events.mixture[first]]} is {end_s[first]:.2f} s long: its strong "
                f"labels should begin before its end, found one at {events.onset_s[first]:.2f} s"
            )
        n_longer = int((events.offset_s > end_s).sum())
        if n_longer:
            say(f"warning: {n_longer} strong labels end after their recordings and are cut there")
        cut = replace(events, offset_s=np.minimum(events.offset_s, end_s))
        return replace(self, events=cut)


def load_clips(config: Config) -> LabelledClips:
    """Read the table of `corpus.clips`; no audio is opened.

    Labels are separated by ';'. A file without labels holds none of the classes, and neither do
    files below `negatives` that the table does not list, which come last. Files cut from one
    recording name it in the column `recording` or `group`: they share a fold, and are all or none
    in inner validation. Without a column `fold`, folds follow from the names and the seed of
    `mixing`.

    Raises:
        SedmtlError: The table lacks a column or a filename, repeats a filename, has no label at
            all, a fold that is not a number from 1 to 255, a recording in two folds, or a file
            outside the root; `negatives` is outside the root or holds no audio; or the strong
            labels name files that the table does not list, or contradict the weak labels.
    """
    settings, table, root = place_of_clips(config)
    rows: Sequence[Row] = read_table(table, ("filename", "labels"), unique="filename")
    if settings.negatives is not None:
        folder = config.locate(settings.negatives)
        rows = [*rows, *_negatives(folder, root, rows, config.mixing.seed)]
    names = [row["filename"] for row in rows]
    labels, classes = labels_of_rows(rows)
    if not classes:
        raise SedmtlError(f"{table} labels no recording: expected labels separated by ';'")
    check_n_classes(len(classes))
    warn_of_twins(classes)
    target = target_of(labels, classes)
    fold, validation = _parts(rows, target, table, config.mixing)
    events = EventTable.empty()
    if settings.strong is not None:
        strong = config.locate(settings.strong)
        index = {label: i for i, label in enumerate(classes)}
        events = _strong_labels(strong, names, index, target)
    paths = [file_below(root, name, table) for name in names]
    scenes = [""] * len(names)
    return LabelledClips(names, target, fold, validation, scenes, events, paths, classes)


def recording_path(config: Config, name: str) -> Path:
    """Path of a recording, given its name in the table of `corpus.clips`.

    Raises:
        SedmtlError: There is no such table, or the file is outside the root.
    """
    _, table, root = place_of_clips(config)
    return file_below(root, name, table)


def place_of_clips(config: Config) -> tuple[Clips, Path, Path]:
    """Settings of `corpus.clips`, path of its table, and folder of its recordings.

    Raises:
        SedmtlError: `data.yaml` has no `corpus.clips`.
    """
    settings = config.corpus.clips
    if settings is None:
        raise SedmtlError("data.yaml names no corpus.clips")
    table = config.locate(settings.csv)
    return settings, table, config.locate(settings.root) if settings.root else table.parent


def _negatives(folder: Path, root: Path, rows: Sequence[Row], seed: int) -> list[dict[str, str]]:
    """Make table rows for the recordings in a folder below the root that have none.

    If the table gives folds, the new rows are assigned to them by name.
    """
    place, base = (Path(os.path.normpath(each.absolute())) for each in (folder, root))
    found, unreadable = search(folder)
    fault = "" if found else "no audio in it"
    if not folder.is_dir():
        fault = "no such folder; paths in data.yaml are relative to that file"
    elif not place.is_relative_to(base):
        fault = "a folder elsewhere"
    elif unreadable:
        fault = f"the unreadable folder {unreadable[0]}"
    if fault:
        raise SedmtlError(
            f"corpus.clips.negatives: expected {folder} to be a folder of recordings below {root} "
            f"(corpus.clips.root), found {fault}"
        )
    listed = {os.path.normpath(row["filename"]) for row in rows}
    names = [(place / path.relative_to(folder)).relative_to(base).as_posix() for path in found]
    new = [name for name in names if name not in listed]
    known = sorted({row["fold"] for row in rows if row.get("fold")})
    numbers = folds_by_name(new, len(known), seed) if known else [0] * len(new)
    folds = [known[number - 1] if known else "" for number in numbers]
    return [
        {"filename": name, "labels": "", "fold": fold}
        for name, fold in zip(new, folds, strict=True)
    ]


def _parts(
    rows: Sequence[Row], target: npt.NDArray[np.uint8], table: Path, mixing: Mixing
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The fold of each row, and whether it is reserved for inner validation.

    If folds are given but recordings are not, only whole folds are known to be disjoint. Then no
    row is reserved, and training validates on the fold after the held-out one, which needs three
    folds.
    """
    folds = [row.get("fold", "") for row in rows]
    recordings = groups_of(rows)
    knows_recordings = any(row.get("recording") or row.get("group") for row in rows)
    rng = np.random.default_rng(mixing.seed)
    if any(folds):
        fold = given_folds(folds, recordings, table)
        _check_all_given(fold, rows, table)
    else:
        fold = folds_by_name(recordings, mixing.folds, mixing.seed)
        if len(np.unique(fold)) < mixing.folds:
            say(
                f"warning: {table} has too few recordings for {mixing.folds} folds by their names: "
                "some have none; 'sedmtl folds' spreads them evenly"
            )
    n_folds = len(np.unique(fold))
    if n_folds < 2 or (any(folds) and not knows_recordings and n_folds > 2):
        return fold, np.zeros_like(fold)
    share = validation_share(len(rows), n_folds)
    return fold, reserve(target, recordings, fold, share, rng).astype(np.uint8)


def _check_all_given(fold: npt.NDArray[np.uint8], rows: Sequence[Row], table: Path) -> None:
    without = np.flatnonzero(fold == 0)
    if len(without):
        raise SedmtlError(
            f"{table}: expected a fold for each recording, found none for {len(without)} of "
            f"{len(rows)}, the first '{rows[without[0]]['filename']}': 'sedmtl folds' gives those "
            "without one a fold"
        )


def _strong_labels(
    path: Path,
    names: Sequence[str],
    index: Mapping[str, int],
    target: npt.NDArray[np.uint8],
) -> EventTable:
    """Read the events of label files, in order of clips."""
    labels, unknown = by_recording(read_strong_labels(path), names, path)
    if unknown:
        raise SedmtlError(
            f"{path}: expected recordings that corpus.clips lists, found '{unknown[0]}'"
            f"{f' and {len(unknown) - 1} others' if unknown[1:] else ''}: use "
            "the names listed there"
        )
    rows = []
    for clip, name in enumerate(names):
        for event in labels.get(name, ()):
            label = index.get(event.label, -1)
            if label < 0 or not target[clip, label]:
                raise SedmtlError(
                    f"{path}: {name} holds the event '{event.label}', which is not one of its "
                    "labels in corpus.clips: add it there or remove it here"
                )
            rows.append((clip, label, event.onset_s, event.offset_s))
    return EventTable.of(rows, len(index))
