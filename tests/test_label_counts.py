"""The table of classes that `features` prints for the user's recordings."""

from __future__ import annotations

import numpy as np

from sedmtl.data.label_counts import FEW, MOST, rare_classes, table_of_classes
from sedmtl.store import ClipTable, EventTable


def clips(target, fold):
    n = len(target)
    names = [f"{i}.wav" for i in range(n)]
    no = np.zeros(n, np.uint8)
    return ClipTable(names, np.array(target, np.uint8), fold, no, [""] * n, EventTable.empty())


def test_recordings_and_seconds_are_counted_by_class_and_fold():
    made = clips([[1, 0], [1, 1], [0, 0]], np.array([1, 3, 3], np.uint8))
    rows = [line.split() for line in table_of_classes(made, ["cat", "dog"], [5, 1_200, 7])]
    assert rows == [
        ["class", "recordings", "seconds", "fold", "1", "fold", "3"],
        ["cat", "2", "1,205", "1", "1"],
        ["dog", "1", "1,200", "0", "1"],
        ["(none)", "1", "7", "0", "1"],
        ["all", "3", "1,212", "1", "2"],
    ]


def test_columns_are_aligned():
    made = clips([[1, 0]] * 1_500 + [[0, 1]], np.ones(1_501, np.uint8))
    lines = table_of_classes(made, ["a class of a long name", "b"])
    assert len({len(line) for line in lines}) == 1


def test_with_very_many_classes_the_rarest_are_shown():
    target = np.ones((3, MOST + 50), np.uint8)
    target[1:, ::2] = 0  # 75 classes with one recording, 75 with three
    made = clips(target, np.ones(3, np.uint8))
    lines = table_of_classes(made, [f"c{i}" for i in range(MOST + 50)])
    assert [line.split()[1] for line in lines[1:-2]].count("1") == 75
    assert len(lines) == MOST + 3
    assert lines[-1] == "and 50 classes with more recordings"


def test_classes_with_few_recordings_are_named_rarest_first():
    target = np.zeros((40, 3), np.uint8)
    target[: FEW - 1, 0] = target[:FEW, 1] = target[:2, 2] = 1
    made = clips(target, np.ones(40, np.uint8))
    said = rare_classes(made, ["a", "b", "c"])
    assert said.startswith(f"fewer than {FEW} recordings of c (2), a ({FEW - 1}): ")
    assert rare_classes(clips(np.ones((FEW, 3)), np.ones(FEW, np.uint8)), ["a", "b", "c"]) is None
