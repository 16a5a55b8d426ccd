from __future__ import annotations

import numpy as np
import pytest

from sedmtl.metrics import confusion


@pytest.fixture
def random_tags():
    rng = np.random.default_rng(0)
    return (rng.random((200, 5)) < 0.4).astype(np.uint8), rng.random((200, 5)) < 0.3


def counted(target, tagged, true, other):
    """Count, clip by clip, clips with `true` and without `other` that are tagged `tagged`."""
    n = n_tagged = 0
    for labels, tags in zip(target, tagged, strict=True):
        if labels[true] and (not labels[other] or true == other):
            n += 1
            n_tagged += tags[other]
    return n_tagged, n


def test_a_worked_example():
    """Rain and wind: two of three clips with rain and without wind are tagged wind."""
    target = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [0, 0], [0, 0], [0, 0], [0, 0]])
    tagged = np.array([[1, 1], [1, 1], [0, 0], [1, 0], [0, 1], [0, 0], [0, 0], [0, 0]], bool)
    found = confusion.evaluate(target, tagged)
    assert found.rate[0, 1] == pytest.approx(2 / 3)
    assert found.base_rate[0, 1] == pytest.approx(1 / 4)
    assert found.excess[0, 1] == pytest.approx(2 / 3 - 1 / 4)
    assert found.excess.diagonal().tolist() == [3 / 4, 0]  # the recalls
    assert np.isnan(found.rate[1, 0])  # no clip has wind without rain


def test_counts_are_those_of_counting_clip_by_clip(random_tags):
    target, tagged = random_tags
    found = confusion.evaluate(target, tagged)
    for true in range(5):
        for other in range(5):
            expected = counted(target, tagged, true, other)
            assert (found.n_tagged[true, other], found.n_clips[true, other]) == expected


def test_the_base_rate_is_of_clips_that_have_neither(random_tags):
    target, tagged = random_tags
    found = confusion.evaluate(target, tagged)
    neither = (target[:, 1] == 0) & (target[:, 3] == 0)
    assert found.n_clips_without[1, 3] == neither.sum()
    assert found.base_rate[1, 3] == pytest.approx(tagged[neither, 3].mean())


def test_perfect_tags_confuse_nothing(random_tags):
    target, _ = random_tags
    np.testing.assert_array_equal(confusion.evaluate(target, target == 1).excess, np.eye(5))


def test_a_class_that_is_always_tagged_is_confused_with_none(random_tags):
    target, tagged = random_tags
    tagged[:, 2] = True
    excess = confusion.evaluate(target, tagged).excess
    np.testing.assert_array_equal(excess[:, 2], [0, 0, 1, 0, 0])


def test_a_class_tagged_for_another_is_the_surest_confusion(random_tags):
    target, tagged = random_tags
    tagged[target[:, 4] == 1, 0] = True
    sureness = confusion.evaluate(target, tagged).sureness()
    assert np.unravel_index(np.nanargmax(sureness), sureness.shape) == (4, 0)


def test_tags_by_chance_are_hardly_ever_surer_than_two_standard_errors():
    """4.6 % of a normal distribution lie beyond; 5,000 nearly independent pairs."""
    rng = np.random.default_rng(1)
    beyond = []
    for _ in range(250):
        target = (rng.random((100, 5)) < 0.4).astype(np.uint8)
        sureness = confusion.evaluate(target, rng.random(target.shape) < 0.3).sureness()
        beyond += (np.abs(sureness[~np.isnan(sureness)]) > 2).tolist()
    assert np.mean(beyond) == pytest.approx(0.046, abs=0.015)


def test_the_same_share_of_more_clips_is_surer():
    target = np.array([[1, 0]] * 4 + [[0, 0]] * 4)
    tagged = np.array([[1, 1]] * 3 + [[1, 0]] + [[0, 0]] * 4, bool)
    few = confusion.evaluate(target, tagged)
    many = confusion.evaluate(np.tile(target, (10, 1)), np.tile(tagged, (10, 1)))
    assert few.excess[0, 1] == many.excess[0, 1] == 0.75
    assert 0 < few.sureness()[0, 1] < many.sureness()[0, 1]


def test_without_a_clip_there_is_no_rate():
    found = confusion.evaluate(np.zeros((0, 2), int), np.zeros((0, 2), bool))
    assert np.isnan(found.excess).all()
    assert found.sureness()[0, 1] == 0
