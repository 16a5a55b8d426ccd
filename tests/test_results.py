from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sedmtl import results
from sedmtl.errors import SedmtlError
from sedmtl.metrics import clip as clip_metrics
from sedmtl.results import ScoredRun, tabulate
from sedmtl.stores import HeldOutScores

RECIPE = {
    "data": "snr_10", "fold": 1, "model": "2apae", "attention": "released", "alpha": 0.001,
    "width": 8, "seed": 0, "epochs": 5, "store_digest": "abc",
}  # fmt: skip


def scored(fold=1, name=None, seed=0, **changes):
    """A run with random scores: each selection has its own."""
    rng = np.random.default_rng([fold, seed])
    target = (rng.random((30, 4)) < 0.4).astype(np.uint8)
    scores = HeldOutScores(
        classes=["a", "b", "c", "d"],
        name=[f"{i}.wav" for i in range(30)],
        target=target,
        prior=np.array([0.4, 0.3, 0.2, 0.1], np.float32),
        score={s: rng.random((30, 4)).astype(np.float32) for s in ("honest", "paper")},
        epoch={"honest": fold + 1, "paper": fold + 2},
    )
    recipe = {**RECIPE, "fold": fold, "seed": seed, **changes}
    return ScoredRun(name or f"run_{fold}_{seed}_{changes}", recipe, scores)


def test_folds_are_averaged_not_pooled():
    runs = [scored(fold) for fold in (1, 2, 3)]
    honest, paper = tabulate(runs)
    for row in (honest, paper):
        each = [clip_metrics.evaluate(r.scores.target, r.scores.score[row.selection]) for r in runs]
        assert row.micro_p == pytest.approx(np.mean([m.micro_p for m in each]))
        assert row.macro_p == pytest.approx(np.mean([m.macro_p for m in each]))
        assert row.auc == pytest.approx(np.mean([m.auc for m in each]))


def test_each_network_has_an_honest_and_a_paper_row():
    honest, paper = tabulate([scored(1), scored(2)])
    assert (honest.selection, paper.selection) == ("honest", "paper")
    assert (honest.epochs, paper.epochs) == ((2, 3), (3, 4))
    assert honest.folds == paper.folds == (1, 2)


@pytest.mark.parametrize(
    "other",
    [{"alpha": 0.01}, {"width": 16}, {"seed": 1}, {"data": "snr_0"}, {"attention": "equations"},
     {"epochs": 9}, {"store_digest": "other"}],
)  # fmt: skip
def test_what_differs_in_more_than_the_fold_is_never_averaged(other):
    rows = tabulate([scored(1), scored(2, **other)])
    assert len(rows) == 4
    assert {row.folds for row in rows} == {(1,), (2,)}


def test_the_same_fold_twice_is_refused():
    with pytest.raises(SedmtlError, match="first and second are both fold 1"):
        tabulate([scored(1, "first"), scored(1, "second")])


def test_the_prior_answers_class_frequencies_for_every_clip():
    run = scored(1)
    row = tabulate([run])[0]
    always = np.tile(run.scores.prior, (30, 1))
    expected = clip_metrics.evaluate(run.scores.target, always)
    assert row.prior_micro_p == pytest.approx(expected.micro_p)
    assert row.prior_macro_p == pytest.approx(run.scores.target.mean())


def test_absent_classes_are_counted():
    run = scored(1)
    target = run.scores.target.copy()
    target[:, 1] = 0
    row = tabulate([replace(run, scores=replace(run.scores, target=target))])[0]
    assert (row.n_classes_scored, row.n_classes) == (3, 4)


def test_rows_come_in_order_of_snr_and_unmixed_recordings_last():
    data = ["clips", "snr_20", "snr_-5", "snr_0"]
    rows = tabulate([scored(1, data=name) for name in data])
    assert [row.data for row in rows[::2]] == ["snr_-5", "snr_0", "snr_20", "clips"]
    assert [row.snr_db for row in rows[::2]] == [-5, 0, 20, None]


def test_json_has_no_nan():
    run = scored(1)
    empty = replace(run.scores, target=np.zeros_like(run.scores.target))
    text = json.dumps(results.as_json(tabulate([replace(run, scores=empty)])), allow_nan=False)
    assert json.loads(text)["rows"][0]["micro_p"] is None
