"""Splits: which rows are for training, for inner validation, and held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import ClipTable, EventTable, batches
from sedmtl.training.split import shuffled, split_rows, weakness


def clips_of(n_rows, n_folds=4, every=5, n_classes=3):
    """Clips of all folds; one in `every` of each fold is for inner validation (0: none)."""
    rng = np.random.default_rng(0)
    fold = (rng.permutation(n_rows) % n_folds + 1).astype(np.uint8)
    validation = np.zeros(n_rows, np.uint8)
    if every:
        for number in range(1, n_folds + 1):
            validation[np.flatnonzero(fold == number)[::every]] = 1
    target = np.eye(n_classes, dtype=np.uint8)[rng.permutation(n_rows) % n_classes]
    return ClipTable([""] * n_rows, target, fold, validation, [""] * n_rows, EventTable.empty())


@pytest.mark.parametrize("n_rows", [8, 40, 200, 8_000])
@pytest.mark.parametrize("held_out", [1, 4])
@pytest.mark.parametrize("every", [0, 5])
def test_a_split_is_complete_and_no_row_is_in_two_parts(n_rows, held_out, every):
    clips = clips_of(n_rows, every=every)
    split = split_rows(clips, held_out)
    everything = np.concatenate(split)
    assert sorted(everything) == list(range(n_rows))
    assert set(clips.fold[split.held_out]) == {held_out}
    assert held_out not in clips.fold[split.training_folds]
    assert list(split.training_folds) == sorted([*split.train, *split.validation])
    assert min(map(len, split)) > 0


def test_validation_is_what_the_store_reserved_in_the_training_folds():
    clips = clips_of(400)
    for held_out in range(1, 5):
        validation = split_rows(clips, held_out).validation
        reserved = (clips.validation == 1) & (clips.fold != held_out)
        assert np.array_equal(validation, np.flatnonzero(reserved))
        assert set(clips.fold[validation]) == {1, 2, 3, 4} - {held_out}


def without_labels(clips, rows):
    target = clips.target.copy()
    target[rows] = 0
    return replace(clips, target=target)


@pytest.mark.parametrize(("held_out", "following"), [(1, 2), (3, 4), (4, 1)])
def test_where_nothing_is_reserved_the_fold_after_the_held_out_one_is_validation(
    held_out, following
):
    unmarked = clips_of(40, every=0)
    marked = clips_of(40)
    unlabelled = without_labels(marked, marked.validation == 1)
    for clips in (unmarked, unlabelled):
        split = split_rows(clips, held_out)
        assert set(clips.fold[split.validation]) == {following}
        assert not {held_out, following} & set(clips.fold[split.train])


def test_a_fold_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(SedmtlError, match=r"no fold 5 in this store: its folds are 1, 2, 3, 4"):
        split_rows(clips_of(40), 5)


def test_too_few_clips_to_train_on_are_refused():
    clips = replace(clips_of(14), fold=np.array([1] * 10 + [2] * 4, np.uint8))
    with pytest.raises(SedmtlError, match=r"fold 1 leaves 4 clips .* expected at least 5"):
        split_rows(clips, 1)


@pytest.mark.parametrize("use", ["to train on", "for inner validation", "held out"])
def test_a_part_without_any_label_is_refused_since_its_micro_p_would_be_nan(use):
    clips = clips_of(40, n_folds=2)
    rows = split_rows(clips, 1)[["to train on", "for inner validation", "held out"].index(use)]
    expected = f"at least one of {len(rows)} clips {use} to have a label, found none"
    with pytest.raises(SedmtlError, match=expected):
        split_rows(without_labels(clips, rows), 1)


def test_two_folds_without_anything_reserved_are_refused():
    with pytest.raises(SedmtlError, match="one of 0 clips for inner validation to have a label"):
        split_rows(clips_of(40, n_folds=2, every=0), 1)


def test_a_class_that_validation_lacks_is_counted_and_the_first_is_named():
    clips, classes = clips_of(40), ("bell", "cat", "dog")
    split = split_rows(clips, 1)
    assert weakness(split, clips, classes) is None
    target = clips.target.copy()
    target[split.validation, 1] = 0
    sentence = weakness(split, replace(clips, target=target), classes)
    assert "(6 clips) holds no clip of 1 of 3 classes, the first 'cat'" in sentence


def test_a_validation_of_few_clips_is_warned_of():
    clips = clips_of(8, n_classes=1, every=2)
    assert "inner validation has 3 clips" in weakness(split_rows(clips, 1), clips, ("bell",))


@pytest.mark.parametrize(("n", "size", "sizes"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 5, [2])])
def test_batches_are_the_rows_in_order(n, size, sizes):
    rows = np.arange(n)[::-1]
    cut = list(batches(rows, size))
    assert [len(batch) for batch in cut] == sizes
    assert np.array_equal(np.concatenate(cut), rows)


def test_the_order_of_an_epoch_follows_from_seed_and_epoch_alone():
    rows = np.arange(100, 200)
    order = shuffled(rows, seed=1, epoch=2)
    assert np.array_equal(shuffled(rows, seed=1, epoch=2), order)
    assert sorted(order) == list(rows)
    assert np.array_equal(rows, np.arange(100, 200))
    for seed, epoch in ((1, 3), (2, 2), (2, 1)):
        assert not np.array_equal(shuffled(rows, seed, epoch), order)
