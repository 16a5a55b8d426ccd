"""Folds and batches: which rows are learnt from, which choose, which are reported."""

from __future__ import annotations

import numpy as np
import pytest

from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import batches
from sedmtl.training.split import shuffled, split_rows


def folds(n_rows, n_folds=4):
    return (np.random.default_rng(0).permutation(n_rows) % n_folds + 1).astype(np.uint8)


@pytest.mark.parametrize("n_rows", [8, 40, 200, 8_000])
@pytest.mark.parametrize("held_out", [1, 4])
def test_a_split_is_complete_and_no_row_is_in_two_parts(n_rows, held_out):
    fold = folds(n_rows)
    split = split_rows(fold, held_out, seed=0)
    everything = np.concatenate(split)
    assert sorted(everything) == list(range(n_rows))
    assert set(fold[split.held_out]) == {held_out}
    assert held_out not in fold[split.training_folds]
    assert list(split.training_folds) == sorted([*split.train, *split.validation])
    assert min(map(len, split)) > 0


@pytest.mark.parametrize(
    ("n_training", "n_validation"),
    [(5, 1), (9, 1), (10, 2), (100, 20), (120, 24), (200, 24), (240, 24), (250, 25), (6_000, 600)],
)
def test_validation_is_a_tenth_but_of_small_sets_24_clips_or_a_fifth(n_training, n_validation):
    fold = np.array([1] * 3 + [2] * n_training, np.uint8)
    split = split_rows(fold, 1, seed=0)
    assert len(split.validation) == n_validation
    assert len(split.train) == n_training - n_validation


def test_a_split_follows_from_seed_and_fold():
    fold = folds(400)
    same, again = split_rows(fold, 2, seed=7), split_rows(fold, 2, seed=7)
    assert all(np.array_equal(a, b) for a, b in zip(same, again, strict=True))
    other = split_rows(fold, 2, seed=8)
    assert not np.array_equal(same.validation, other.validation)
    assert np.array_equal(same.held_out, other.held_out)


def test_validation_comes_from_every_training_fold():
    fold = folds(4_000)
    validation = fold[split_rows(fold, 3, seed=0).validation]
    counts = np.bincount(validation, minlength=5)[[1, 2, 4]]
    # 300 rows drawn of 3 equal folds: 100 each, with a standard deviation of 8.
    assert np.abs(counts - 100).max() < 40


def test_a_fold_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(SedmtlError, match=r"no fold 5 in this store: its folds are 1, 2, 3, 4"):
        split_rows(folds(40), 5, seed=0)


def test_too_few_clips_to_train_on_are_refused():
    with pytest.raises(SedmtlError, match=r"fold 1 leaves 4 clips .* expected at least 5"):
        split_rows(np.array([1] * 10 + [2] * 4, np.uint8), 1, seed=0)


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
