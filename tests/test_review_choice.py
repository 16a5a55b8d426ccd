"""Choosing what to review: the order of snippets, and the pools that they come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sedmtl.events import Detection
from sedmtl.inference.checkpoint import load_card
from sedmtl.inference.prediction import Prediction
from sedmtl.inference.runs import find_run
from sedmtl.review.choice import Pool, choose, logit, presence, wrongness
from sedmtl.review.labels import correct
from sedmtl.review.pool import Scored, find_scored, held_out, predicted
from sedmtl.review.verdicts import Review, Snippet
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import read_scores


def pool_of(votes, label=None, score=None, weak=None):
    votes = np.asarray(votes, float).reshape(len(votes), -1)
    n = len(votes)
    label = ["bird"] * n if label is None else label
    score = np.full(n, 0.5) if score is None else score
    snippets = [Snippet(f"{i}.wav", label[i], None, None, float(score[i]), "r") for i in range(n)]
    return Pool(
        snippets, votes, np.full(n, -1, np.int8) if weak is None else np.array(weak, np.int8)
    )


def rng(seed=0):
    return np.random.default_rng(seed)


def test_uncertain_is_near_the_threshold_or_disputed():
    pool = pool_of([[4, 4], [0.1, 0.1], [-4, -4], [4, -4.2], [1, 1]])
    assert choose(pool, "uncertain", 3, rng()).tolist() in ([3, 1, 4], [1, 3, 4])


def test_a_missing_vote_does_not_count():
    np.testing.assert_allclose(presence(np.array([[0.0, np.nan], [np.nan, 0.0]])), 0.5)


def test_classes_take_turns_in_uncertain():
    pool = pool_of([0.0, 0.1, 0.2, 0.3, 2.0, 3.0], label=["bird"] * 4 + ["dog"] * 2)
    assert choose(pool, "uncertain", 4, rng()).tolist() == [0, 4, 1, 5]


def test_each_class_has_equally_many_from_each_band_in_random_order():
    score = np.concatenate([np.full(500, 0.05), np.full(40, 0.55), np.full(3, 0.95)])
    pool = pool_of(np.zeros(1086), ["bird"] * 543 + ["dog"] * 543, np.tile(score, 2))
    chosen = choose(pool, "class", 15, rng())
    assert len(chosen) == len(set(chosen.tolist())) == 30
    for label in (0, 1):
        of_class = pool.score[chosen[pool.label[chosen] == label]]
        values, counts = np.unique(of_class, return_counts=True)
        assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {
            0.05: 6,
            0.55: 6,
            0.95: 3,
        }
    in_turns = np.abs(np.diff(pool.score[chosen])) > 0
    assert 0.3 < in_turns.mean() < 0.95


def test_new_is_drawn_at_random():
    pool = pool_of(np.zeros(20))
    counts = np.zeros(20)
    for seed in range(400):
        counts[choose(pool, "new", 5, rng(seed))] += 1
    assert np.abs(counts - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_heard_snippets_are_not_offered_again_and_classes_can_be_named():
    pool = pool_of(np.zeros(6), label=["bird", "dog"] * 3)
    done = {pool.snippets[0].key}
    for by in ("new", "uncertain", "class"):
        chosen = choose(pool, by, 9, rng(), done=done, classes={"bird"})
        assert sorted(chosen.tolist()) == [2, 4]


def noisy_labels(seed=0, n=200, n_classes=5, share=0.2):
    """Recordings of one class each, a share of them mislabelled, and noisy votes."""
    random = rng(seed)
    truth = np.eye(n_classes, dtype=int)[random.integers(0, n_classes, n)]
    weak = truth.copy()
    swapped = random.permutation(n)[: int(share * n)]
    weak[swapped] = np.roll(truth[swapped], 1, axis=1)
    # The network cannot recognise the last class.
    votes = 3 * truth * (np.arange(n_classes) < n_classes - 1) - 2 + random.normal(size=truth.shape)
    labels = np.tile([f"class {c}" for c in range(n_classes)], n)
    snippets = [
        Snippet(f"{i // n_classes}.wav", label, None, None, 0.5, "r")
        for i, label in enumerate(labels)
    ]
    pool = Pool(snippets, votes.reshape(-1, 1), weak.ravel().astype(np.int8))
    return pool, truth.ravel(), weak


def test_suspicious_finds_most_wrong_labels_first():
    pool, truth, weak = noisy_labels()
    chosen = choose(pool, "suspicious", 50, rng())
    is_wrong = truth != weak.ravel()
    assert is_wrong[chosen].mean() > 0.7  # a random choice has 0.08
    assert {0, 1} == set(pool.weak[chosen].tolist())  # missing labels and wrong ones


def test_a_class_that_is_not_recognised_is_not_suspected():
    pool, _, _ = noisy_labels()
    chosen = choose(pool, "suspicious", 50, rng())
    last = sum(pool.snippets[row].label == "class 4" for row in chosen)
    assert last <= 5
    assert np.isfinite(wrongness(pool)).all()


def test_truthful_verdicts_on_all_suspicious_labels_correct_them():
    """With a simulated listener: choose, answer, correct."""
    pool, truth, weak = noisy_labels(n=60)
    names = [f"{i}.wav" for i in range(60)]
    labels = {
        name: [f"class {c}" for c in np.flatnonzero(row)]
        for name, row in zip(names, weak, strict=True)
    }
    reviews = []
    for row in choose(pool, "suspicious", len(truth), rng()):
        snippet, is_there = pool.snippets[row], bool(truth[row])
        heard = snippet.label if is_there else ""
        reviews.append(Review(snippet, "yes" if is_there else "no", heard, None, None, "", ""))
    corrected = correct(labels, reviews).labels
    of_truth = truth.reshape(60, -1)
    for name, row in zip(names, of_truth, strict=True):
        assert corrected[name] == [f"class {c}" for c in np.flatnonzero(row)]


def test_corrected_labels_replace_those_that_runs_were_trained_with():
    pool = pool_of(np.zeros(2), label=["bird", "dog"], weak=[1, 0])
    assert pool.labelled({"0.wav": [], "1.wav": ["dog"]}).weak.tolist() == [0, 1]


def test_only_labelled_recordings_have_suspicious_labels():
    with pytest.raises(SedmtlError, match="leave out the audio files"):
        choose(pool_of([0.0]), "suspicious", 1, rng())


# Pools.


@pytest.fixture(scope="module")
def scored(trained):
    run = find_run(trained.work / "runs", None)
    return Scored(run, "a@01234567", load_card(run), read_scores(run / "scores.h5"))


def test_labelled_recordings_are_asked_about_as_a_whole(scored):
    pool = held_out([scored])
    scores = scored.scores
    assert len(pool.snippets) == scores.target.size
    assert pool.weak.tolist() == scores.target.ravel().tolist()
    assert {each.onset_s for each in pool.snippets} == {None}
    tagged = scored.card.tagged(scores.score["honest"]).ravel()
    assert ((pool.votes[:, 0] > 0) == tagged).all()


def test_each_run_has_its_votes(scored):
    pool = held_out([scored, replace(scored, network="b@01234567")])
    assert pool.votes.shape[1] == 2 * held_out([scored]).votes.shape[1]


def test_proposals_record_their_number(scored):
    card, label = scored.card, scored.card.classes[0]
    events = [
        Detection(label, 0.0, 1.0, 0.31), Detection(card.classes[1], 0.5, 1.5, 0.35),
        Detection(label, 2.0, 3.0, 0.39),
    ]  # fmt: skip
    clip = np.full(len(card.classes), 0.5, np.float32)
    first, other = Prediction(5.0, events, clip=clip), Prediction(5.0, events[:1], clip=clip)
    pool = predicted([("a", card), ("b", card)], [{"x.wav": first}, {"x.wav": other}])
    assert [each.of_class for each in pool.snippets] == [2, 1, 2]
    assert {each.of_recording for each in pool.snippets} == {3}
    assert [each.of_band for each in pool.snippets] == [2, 1, 2]
    threshold = card.postprocessing.threshold[0]
    missed = logit(threshold / 2) - logit(threshold)
    np.testing.assert_allclose(pool.votes[[0, 2], 2], [pool.votes[0, 0], missed])


def test_runs_on_mixtures_are_not_taken_for_runs_on_recordings(trained):
    with pytest.raises(SedmtlError, match="no finished run on own recordings"):
        find_scored(trained.work / "runs", [])
