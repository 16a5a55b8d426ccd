"""The folds of one's own recordings: from their names, or balanced by class.

Files of one group, cut from one recording or made at one place, are never in two folds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sedmtl.classes import class_name
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import write_output
from sedmtl.runtime.tables import read_table

HIGHEST = 255
"""The highest number of a fold."""

Folds = npt.NDArray[np.uint8]


def groups_of(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The group of each row: its column `recording`, else `group`, else the file's name."""
    return [class_name(row.get("recording") or row.get("group") or row["filename"]) for row in rows]


def labels_of_rows(rows: Sequence[Mapping[str, str]]) -> tuple[list[list[str]], tuple[str, ...]]:
    """The column `labels` of each row, separated by ';', and all classes that occur, sorted."""
    labels = [
        [class_name(label.strip()) for label in row["labels"].split(";") if label.strip()]
        for row in rows
    ]
    return labels, tuple(sorted({label for each in labels for label in each}))


def target_of(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> npt.NDArray[np.uint8]:
    """(n, C) of 0 and 1: which classes each row has."""
    index = {label: i for i, label in enumerate(classes)}
    target = np.zeros((len(labels), len(classes)), np.uint8)
    for row, each in enumerate(labels):
        target[row, [index[label] for label in each]] = 1
    return target


def folds_by_name(groups: Sequence[str], n_folds: int, seed: int) -> Folds:
    """The fold of each row by a hash of its group: no other row has a say in it.

    Recordings that are added later leave the old ones where they are. The folds are as even as
    chance makes them.

    Returns:
        (n,) from 1.
    """
    digests = [hashlib.sha256(f"{seed}/{group}".encode()).digest() for group in groups]
    numbers = [int.from_bytes(digest[:8], "big") % n_folds + 1 for digest in digests]
    return np.array(numbers, np.uint8)


def given_folds(texts: Sequence[str], groups: Sequence[str], table: Path) -> Folds:
    """The column `fold`, where 0 stands for an empty one; no group may be in two.

    Raises:
        SedmtlError: A fold is no number from 1 to 255, or a group has two.
    """
    home: dict[str, int] = {}
    for text, group in zip(texts, groups, strict=True):
        if not text:
            continue
        if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= HIGHEST:
            raise SedmtlError(
                f"{table}: each fold should be a number from 1 to {HIGHEST}, found '{text}'"
            )
        first = home.setdefault(group, int(text))
        if first != int(text):
            raise SedmtlError(
                f"{table}: expected each recording in one fold, found '{group}' in folds "
                f"{first} and {int(text)}: correct the column fold, or remove it"
            )
    return np.array([home.get(group, 0) for group in groups], np.uint8)


def balanced_folds(
    target: npt.NDArray[np.uint8], groups: Sequence[str], n_folds: int, known: Folds
) -> Folds:
    """Give each row without a fold one, so that each class is spread evenly over the folds.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011) of groups: the
    rarest class is served first, its largest group first, and each group goes to the fold that
    lacks most of the class, then to the one that lacks most clips.

    Args:
        target: (n, C) of 0 and 1.
        groups: (n,) of the rows.
        n_folds: Number of folds.
        known: (n,) the folds that rows have already; 0 for those that have none.

    Returns:
        (n,) from 1; all known ones are as they were.
    """
    # Sorted names: the order of the rows decides nothing.
    names, first, group = np.unique(groups, return_index=True, return_inverse=True)
    holds = np.hstack([target > 0, np.ones((len(target), 1), bool)])  # the last: any clip
    n_clips = np.zeros((len(names), holds.shape[1]), int)
    np.add.at(n_clips, group, holds)
    fold = known[first].astype(int)
    n_lacking = np.tile(n_clips.sum(axis=0) / n_folds, (n_folds, 1))  # (folds, C + 1)
    for number in range(1, n_folds + 1):
        n_lacking[number - 1] -= n_clips[fold == number].sum(axis=0)
    n_left = n_clips[fold == 0].sum(axis=0)
    while n_left.any():
        column = int(np.where(n_left > 0, n_left, n_left.max() + 1).argmin())
        chosen = np.where(fold == 0, n_clips[:, column], -1).argmax()
        lacks = np.lexsort((n_lacking[:, -1], n_lacking[:, column]))[-1]
        fold[chosen] = lacks + 1
        n_lacking[lacks] -= n_clips[chosen]
        n_left -= n_clips[chosen]
    return fold[group].astype(np.uint8)


def write_folds(table: Path, n_folds: int, out: Path, *, force: bool) -> Folds:
    """Copy a table of recordings with a column `fold` for every row.

    Folds that the table has stay, and so do those of an earlier copy for the same file names. A
    table without recordings or groups gets a column `recording`, each file being one: otherwise
    inner validation would be a whole fold (`data.clips.load_clips`).

    Returns:
        (n,) the folds.

    Raises:
        SedmtlError: The table cannot be read, has fewer groups than folds, or folds that cannot
            be; or a file of the user would be overwritten.
    """
    rows = read_table(table, ("filename", "labels"), unique="filename")
    groups = groups_of(rows)
    if len(set(groups)) < n_folds:
        raise SedmtlError(
            f"{table}: expected at least a recording for each of {n_folds} folds, found "
            f"{len(set(groups))}: add recordings, or ask for fewer with --folds"
        )
    labels, classes = labels_of_rows(rows)
    earlier = _earlier_folds(out)
    texts = [row.get("fold") or earlier.get(row["filename"], "") for row in rows]
    known = given_folds(texts, groups, table)
    if known.max(initial=0) > n_folds:
        raise SedmtlError(
            f"{table} has a fold {known.max()} already: expected at most {n_folds}; ask for "
            f"--folds {known.max()}"
        )
    fold = balanced_folds(target_of(labels, classes), groups, n_folds, known)
    text = io.StringIO()
    columns = [name for name in rows[0] if name != "fold"]
    added = [] if {"recording", "group"} & {*columns} else ["recording"]
    writer = csv.DictWriter(text, [*columns, *added, "fold"], lineterminator="\n")
    writer.writeheader()
    for row, group, number in zip(rows, groups, fold, strict=True):
        writer.writerow({**row, **dict.fromkeys(added, group), "fold": number})
    write_output(out, text.getvalue(), force=force)
    return fold


def _earlier_folds(path: Path) -> dict[str, str]:
    """The folds of an earlier copy, by file name; none if there is no such table."""
    try:
        rows = read_table(path, ("filename", "fold"))
    except SedmtlError:
        return {}
    return {row["filename"]: row["fold"] for row in rows}
