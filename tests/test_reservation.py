"""Recordings reserved for inner validation, by class and fold; never in training."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sedmtl.data.reservation import reserve, validation_share

N_FOLDS = 4


def reserved(target, recordings, fold, share=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return reserve(np.asarray(target, np.uint8), recordings, np.asarray(fold, np.uint8), share, rng)


@st.composite
def sets_of_clips(draw):
    """Clips of some classes, several per recording, each recording in one fold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_clips, n_recordings = draw(st.integers(1, 80)), draw(st.integers(1, 60))
    n_classes = draw(st.integers(1, 5))
    recording = rng.integers(0, n_recordings, n_clips)
    fold = rng.integers(1, draw(st.integers(1, N_FOLDS)) + 1, n_recordings)[recording]
    rarity = rng.uniform(0.02, 0.6, n_classes)
    target = (rng.random((n_clips, n_classes)) < rarity).astype(np.uint8)
    return target, [f"r{k}" for k in recording], fold, draw(st.sampled_from([0.1, 0.2]))


def tried(n):
    return settings(
        derandomize=True, deadline=None, database=None, max_examples=n,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip


def recordings_of(mask, target, recordings, fold):
    """The recordings among these clips, by fold and class."""
    found = defaultdict(set)
    for row in np.flatnonzero(mask):
        for label in np.flatnonzero(target[row]):
            found[int(fold[row]), int(label)].add(recordings[row])
    return found


@pytest.mark.slow
@tried(200)
@given(sets_of_clips())
def test_a_recording_is_reserved_whole_and_training_keeps_one_of_each_class_and_fold(clips):
    target, recordings, fold, share = clips
    chosen = reserved(target, recordings, fold, share)
    ours = {recordings[row] for row in np.flatnonzero(chosen)}
    assert ours.isdisjoint(recordings[row] for row in np.flatnonzero(~chosen))
    everything = recordings_of(np.ones(len(fold), bool), target, recordings, fold)
    kept = recordings_of(~chosen, target, recordings, fold)
    assert kept.keys() == everything.keys()
    assert set(fold[~chosen]) == set(fold)


@pytest.mark.slow
@tried(200)
@given(sets_of_clips())
def test_a_class_is_reserved_in_two_folds_if_two_have_a_recording_to_spare(clips):
    target, recordings, fold, share = clips
    # One class and one recording per clip: none is reserved because of another class.
    target = np.eye(target.shape[1], dtype=np.uint8)[target.argmax(axis=1)]
    names = [f"{k}" for k in range(len(recordings))]
    everything = recordings_of(np.ones(len(fold), bool), target, names, fold)
    chosen = recordings_of(reserved(target, names, fold, share), target, names, fold)
    for label in range(target.shape[1]):
        n_able = sum(len(everything[f, label]) > 1 for f in range(1, N_FOLDS + 1))
        n_used = sum(bool(chosen[f, label]) for f in range(1, N_FOLDS + 1))
        assert n_used >= min(2, n_able)


@tried(50)
@given(sets_of_clips())
def test_the_choice_follows_from_the_seed_and_not_from_the_order_of_the_clips(clips):
    target, recordings, fold, share = clips
    chosen = reserved(target, recordings, fold, share)
    assert np.array_equal(reserved(target, recordings, fold, share), chosen)
    back = reserved(target[::-1], recordings[::-1], fold[::-1], share)
    assert np.array_equal(back[::-1], chosen)


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_every_class_and_every_fold_give_their_share(share):
    n, n_classes = 800, 4
    fold = np.arange(n) % N_FOLDS + 1
    # Every class in every fold: 50 of each.
    target = np.eye(n_classes, dtype=np.uint8)[np.arange(n) // N_FOLDS % n_classes]
    chosen = reserved(target, [str(k) for k in range(n)], fold, share)
    for number in range(1, N_FOLDS + 1):
        here = target[chosen & (fold == number)]
        assert here.sum(axis=0).tolist() == [round(50 * share)] * n_classes


def test_other_seeds_reserve_other_recordings():
    target, names, fold = np.ones((40, 1)), [str(k) for k in range(40)], np.arange(40) % 4 + 1
    assert not np.array_equal(
        reserved(target, names, fold, seed=0), reserved(target, names, fold, seed=1)
    )


def test_clips_without_a_label_are_reserved_in_their_share():
    target = np.zeros((400, 2), np.uint8)
    target[:200, 0] = 1
    chosen = reserved(target, [str(k) for k in range(400)], np.arange(400) % 4 + 1)
    assert (chosen[:200].sum(), chosen[200:].sum()) == (20, 20)


def test_a_recording_of_many_clips_is_passed_over_for_those_that_fit():
    names = ["long"] * 30 + [str(k) for k in range(70)]
    fold = np.array([1] * 30 + [1, 2] * 35)
    chosen = reserved(np.ones((100, 1)), names, fold)
    assert not chosen[:30].any()
    assert chosen.sum() == 10


def test_a_class_with_one_recording_per_fold_is_left_to_training():
    assert not reserved(np.ones((4, 1)), list("abcd"), [1, 2, 3, 4]).any()


@pytest.mark.parametrize(
    ("n_clips", "n_folds", "share"),
    [(8_000, 4, 0.1), (400, 4, 0.1), (160, 4, 0.2), (200, 4, 0.16), (24, 4, 0.2)],
)
def test_validation_is_a_tenth_but_of_small_sets_24_clips_or_a_fifth(n_clips, n_folds, share):
    assert validation_share(n_clips, n_folds) == pytest.approx(share)
