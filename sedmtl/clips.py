"""Weakly labelled recordings of one's own: `corpus.clips`, a CSV `filename,labels[,fold]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sedmtl.config import Config
from sedmtl.errors import SedmtlError
from sedmtl.mixture import assign_folds
from sedmtl.tables import read_table


@dataclass(frozen=True)
class LabelledClips:
    """The recordings of the CSV, in its order.

    Attributes:
        classes: All labels that occur, sorted.
        target: (n, n_classes) uint8.
        fold: (n,) uint8 from 1; from the CSV, or drawn with the seed of `mixing`.
    """

    names: Sequence[str]
    paths: Sequence[Path]
    classes: tuple[str, ...]
    target: npt.NDArray[np.uint8]
    fold: npt.NDArray[np.uint8]


def load_clips(config: Config) -> LabelledClips:
    """Read the table of `corpus.clips`; no audio is opened.

    Labels are separated by ';'. A recording without labels holds none of the classes.

    Raises:
        SedmtlError: The table lacks a column or a filename, repeats one, has no label at all, or
            a fold that is no number from 1 to 255.
    """
    settings = config.corpus.clips
    if settings is None:
        raise SedmtlError("data.yaml names no corpus.clips")
    table = config.locate(settings.csv)
    root = config.locate(settings.root) if settings.root else table.parent
    rows = read_table(table, ("filename", "labels"), unique="filename")
    names = [row["filename"] for row in rows]
    labels = [
        [label.strip() for label in row["labels"].split(";") if label.strip()] for row in rows
    ]
    classes = tuple(sorted({label for each in labels for label in each}))
    if not classes:
        raise SedmtlError(f"{table} labels no recording: expected labels separated by ';'")
    target = np.array([[name in each for name in classes] for each in labels], np.uint8)
    folds = [row.get("fold", "") for row in rows]
    if any(folds):
        fold = np.array([_parse_fold(text, table) for text in folds], np.uint8)
    else:
        fold = assign_folds(names, config.mixing.folds, np.random.default_rng(config.mixing.seed))
    return LabelledClips(names, [root / name for name in names], classes, target, fold)


def _parse_fold(text: str, table: Path) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 255:
        raise SedmtlError(f"{table}: each fold should be a number from 1 to 255, found '{text}'")
    return int(text)
