"""Folds of custom recordings, assigned by name or balanced by class.

Files of one group, such as those cut from one recording or made at one place, share a fold.
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
"""Highest fold number."""

Folds = npt.NDArray[np.uint8]


def groups_of(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The group of each row: its `recording`, else its `group`, else its file name."""
    return [class_name(row.get("recording") or row.get("group") or row["filename"]) for row in rows]


def labels_of_rows(rows: Sequence[Mapping[str, str]]) -> tuple[list[list[str]], tuple[str, ...]]:
    """Parse the column `labels` (separated by ';') of each row; also return all classes, sorted."""
    labels = [
        [class_name(label.strip()) for label in row["labels"].split(";") if label.strip()]
        for row in rows
    ]
    return labels, tuple(sorted({label for each in labels for label in each}))


def target_of(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Multi-hot labels of each row: (n, C) of 0 and 1."""
    index = {label: i for i, label in enumerate(classes)}
    target = np.zeros((len(labels), len(classes)), np.uint8)
    for row, each in enumerate(labels):
        target[row, [index[label] for label in each]] = 1
    return target


def folds_by_name(groups: Sequence[str], n_folds: int, seed: int) -> Folds:
    """Assign each row a fold by a hash of its group, independently of all other rows.

    Adding recordings does not move existing ones. Fold sizes are random.

    Returns:
        (n,) from 1.
    """
    digests = [hashlib.sha256(f"{seed}/{group}".encode()).digest() for group in groups]
    numbers = [int.from_bytes(digest[:8], "big") % n_folds + 1 for digest in digests]
    return np.array(numbers, np.uint8)


def given_folds(texts: Sequence[str], groups: Sequence[str], table: Path) -> Folds:
    """Parse the column `fold`, one fold per group; 0 for groups without one.

    Raises:
        SedmtlError: A fold is not a number from 1 to 255, or a group has two.
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
    """Assign a fold to each row without one, so that each class is spread evenly over the folds.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011) of groups: the
    rarest class comes first, and in it the largest group; each group goes to the fold that lacks
    most clips of the class and, among equals, most clips in total.

    Args:
        target: (n, C) of 0 and 1.
        groups: (n,) group of each row.
        n_folds: Number of folds.
        known: (n,) folds already assigned; 0 for rows without one.

    Returns:
        (n,) from 1; known folds are unchanged.
    """
    # np.unique sorts the names, so the order of the rows does not matter.
    names, first, group = np.unique(groups, return_index=True, return_inverse=True)
    holds = np.hstack([target > 0, np.ones((len(target), 1), bool)])  # last column: all clips
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
    """Copy a table of recordings and fill its column `fold`.

    Folds in the table are kept, and so are those of an earlier copy for the same file names. A
    table without recordings or groups gets a column `recording` with the file names: otherwise
    inner validation would take a whole fold (`data.clips.load_clips`).

    Returns:
        (n,) the folds.

    Raises:
        SedmtlError: The table cannot be read, has fewer groups than folds, or invalid folds; or a
            file of the user would be overwritten.
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
