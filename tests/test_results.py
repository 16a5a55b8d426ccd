from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sedmtl.evaluation.aggregate import as_json, tabulate
from sedmtl.evaluation.differences import differences, names_of
from sedmtl.evaluation.localisation import measure
from sedmtl.evaluation.rows import ScoredRun, by_data
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.metrics import clip as clip_metrics
from sedmtl.store import EventTable, HeldOutScores
from sedmtl.training.config import TrainConfig

pytestmark = pytest.mark.slow

RECIPE = {
    "data": "snr_10", "fold": 1, "model": "2apae", "attention": "released", "alpha": 0.001,
    "time_attention": "dense",
    "width": 8, "seed": 0, "epochs": 5, "store_digest": "abc", "reconstruction": "relu",
    "n_parameters": 1234, "config": "corpus: {}",
}  # fmt: skip


PAPER_DATA = {"event_corpus": "fsdkaggle2018", "scene_corpus": "tau2019"}


@cache
def scores_of(fold, seed):
    """Random scores for each selection, and their localisation."""
    rng = np.random.default_rng([fold, seed])
    target = (rng.random((30, 4)) < 0.4).astype(np.uint8)
    scores = HeldOutScores(
        classes=["a", "b", "c", "d"],
        name=[f"{i}.wav" for i in range(30)],
        target=target,
        prior=np.array([0.4, 0.3, 0.2, 0.1], np.float32),
        score={s: rng.random((30, 4)).astype(np.float32) for s in ("honest", "paper")},
        epoch={"honest": fold + 1, "paper": fold + 2},
        frame=rng.random((30, 4, 20)).astype(np.float16),
        frame_edges_s=np.linspace(0, 2, 21),
        duration_s=2.0,
        events=events_of(target),
    )
    return scores, measure(scores, PostProcessing((0.5,) * 4, median_s=0.3))


def scored(fold=1, name=None, seed=0, **changes):
    """A run with random scores."""
    scores, measured = scores_of(fold, seed)
    recipe = {**RECIPE, "fold": fold, "seed": seed, **changes}
    if recipe["data"].startswith("snr_"):
        recipe["snr_db"] = float(recipe["data"].removeprefix("snr_"))
    name = name or TrainConfig.of(recipe).name
    return ScoredRun(Path(name), recipe, None, scores, recipe, localisation=measured)


def events_of(target):
    """An event for each weak label, in the middle of its clip."""
    clip, label = np.nonzero(target)
    time_s = np.ones(len(clip), np.float32)
    columns = (clip.astype(np.int32), label.astype(np.int16), 0.5 * time_s, 1.2 * time_s, time_s)
    return EventTable(*columns, source=[""] * len(clip))


def test_folds_are_averaged_not_pooled():
    runs = [scored(fold) for fold in (1, 2, 3)]
    honest, paper = tabulate(runs)
    for row in (honest, paper):
        each = [clip_metrics.evaluate(r.scores.target, r.scores.score[row.selection]) for r in runs]
        for i, average in enumerate(row.averages):
            assert average.mean == pytest.approx(np.mean([metrics[i] for metrics in each]))
            assert average.std == pytest.approx(np.std([metrics[i] for metrics in each], ddof=1))


def test_each_network_has_a_row_for_each_selection():
    honest, paper = tabulate([scored(1), scored(2)])
    assert (honest.selection, paper.selection) == ("honest", "paper")
    assert (honest.epochs, paper.epochs) == ((2, 3), (3, 4))
    assert honest.folds == paper.folds == (1, 2)


@pytest.mark.parametrize(
    "other",
    [{"alpha": 0.01}, {"width": 16}, {"seed": 1}, {"data": "snr_0"}, {"attention": "equations"},
     {"epochs": 9}, {"store_digest": "other"}, {"reconstruction": "linear"}, {"model": "gap"},
     {"time_attention": "local"}],
)  # fmt: skip
def test_runs_that_differ_in_more_than_the_fold_are_never_averaged(other):
    rows = tabulate([scored(1), scored(2, **other)])
    assert len(rows) == 4
    assert {row.folds for row in rows} == {(1,), (2,)}


def test_the_same_fold_twice_makes_two_rows_with_different_names():
    usual = [scored(fold) for fold in (1, 2)]
    rows = tabulate([scored(1, "again"), *usual, scored(1, "first"), scored(2, "second")])
    names = [[run.given_name for run in row.runs] for row in rows[::2]]
    assert names == [["first"], ["", ""], ["again", "second"]]
    assert differences(rows[2:])["run"] == ["", "", "again…", "again…"]


def test_networks_are_distinguished_by_their_differences_only():
    runs = [scored(1), scored(1, epochs=9), scored(1, model="gap", alpha=0.0)]
    rows = tabulate(runs)[::2]
    assert differences(rows) == {"epochs": ["5", "9", "5"]}
    assert names_of(rows) == ["2apae/8, epochs 5", "2apae/8, epochs 9", "gap/8"]
    assert names_of(rows[:1]) == ["2apae/8"]


def test_networks_scored_on_other_clips_are_never_compared():
    """Neither runs on the same fold of a changed store, nor runs on other folds."""
    before, now = scored(1), scored(1, store_digest="new")
    now = replace(now, scores=replace(now.scores, name=[f"new {n}" for n in now.scores.name]))
    groups = by_data(tabulate([before, now, scored(2, epochs=9)]))
    assert [len(rows) for _, rows in groups] == [2, 2, 2]
    assert len({data.digest for data, _ in groups}) == 3
    assert {data.folds for data, _ in groups} == {"1", "2"}


def test_positives_are_clips_and_recordings_are_what_their_events_come_from():
    run = scored(1)
    target = np.zeros_like(run.scores.target)
    target[:3, 1] = 1
    events = events_of(target)
    counts = []
    for sources in (["a", "b", "a"], [""] * 3):
        mixed = replace(events, source=sources)
        scores = replace(run.scores, target=target, events=mixed)
        counts.append(tabulate([replace(run, scores=scores)])[0].counts)
    assert [each["positives"].tolist() for each in counts] == [[0, 3, 0, 0]] * 2
    assert [each["recordings"].tolist() for each in counts] == [[0, 2, 0, 0], [0, 3, 0, 0]]


def test_the_prior_predicts_class_frequencies_for_every_clip():
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
    assert (row.n_classes_scored, len(row.classes)) == (3, 4)


def test_rows_come_in_order_of_snr_and_unmixed_recordings_last():
    data = ["clips", "snr_20", "snr_-5", "snr_0"]
    rows = tabulate([scored(1, data=name) for name in data])
    assert [row.recipe["data"] for row in rows[::2]] == ["snr_-5", "snr_0", "snr_20", "clips"]
    assert [row.runs[0].snr_db for row in rows[::2]] == [-5, 0, 20, None]


def test_networks_come_in_the_order_of_the_papers_table():
    models = ["atrous", "gap", "2apae", "gwrp", "gmp"]
    rows = tabulate([scored(1, model=model) for model in models])
    assert [row.recipe["model"] for row in rows[::2]] == ["2apae", "gap", "gmp", "gwrp", "atrous"]


def test_a_single_fold_has_no_deviation_but_an_interval():
    row = tabulate([scored(1)])[0]
    assert row.metrics["micro_p"].std is None
    low, high = row.metrics["micro_p"].interval
    assert low < row.metrics["micro_p"].mean < high


def test_the_interval_of_two_folds_is_narrower_than_that_of_one():
    def width(*folds):
        low, high = tabulate([scored(fold) for fold in folds])[0].metrics["micro_p"].interval
        return high - low

    assert width(1, 2) < (width(1) + width(2)) / 2


def test_a_run_scored_on_another_store_is_a_row_of_its_own():
    moved = replace(scored(1), on="moved.h5")
    rows = tabulate([scored(1), moved])
    assert [row.data.on for row in rows] == ["", "", "moved.h5", "moved.h5"]


@pytest.mark.parametrize(
    "fact",
    [{"torch_version": "2.15.0"}, {"sedmtl_version": "9.0"},
     {"config": "corpus: {}\nmixing: {snrs_db: [0, 10]}"}],
)  # fmt: skip
def test_folds_with_other_recorded_facts_are_one_network(fact):
    rows = tabulate([scored(1, torch_version="2.11.0", sedmtl_version="0.1.0"), scored(2, **fact)])
    assert [row.folds for row in rows] == [(1, 2), (1, 2)]


def test_fixed_and_random_onsets_of_one_store_are_data_of_their_own():
    runs = [
        scored(fold, onsets=rule, store_digest=rule, model=model)
        for model in ("gap", "2apae")
        for rule in ("random", "fixed")
        for fold in (1, 2)
    ]
    groups = by_data(tabulate(runs))
    assert [(data.title, [row.recipe["model"] for row in rows]) for data, rows in groups] == [
        ("snr_10, fixed onsets, folds 1,2 (60 clips)", ["2apae", "2apae", "gap", "gap"]),
        ("snr_10, random onsets, folds 1,2 (60 clips)", ["2apae", "2apae", "gap", "gap"]),
    ]  # fmt: skip
    assert len({data.file_name for data, _ in groups}) == 2


def test_a_run_that_was_scored_under_one_selection_has_one_row():
    run = scored(1)
    honest = replace(run.scores, score={"honest": run.scores.score["honest"]})
    assert [row.selection for row in tabulate([replace(run, scores=honest)])] == ["honest"]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (PAPER_DATA, True),
        ({**PAPER_DATA, "event_corpus": "folder"}, False),
        ({"event_corpus": "", "scene_corpus": ""}, False),
        ({}, False),
    ],
)
def test_the_papers_data_are_known_by_their_kinds(facts, expected):
    assert tabulate([scored(1, **facts)])[0].is_of_paper_data is expected


def test_json_is_flat_and_has_no_nan():
    run = scored(1)
    empty = replace(run.scores, target=np.zeros_like(run.scores.target))
    text = json.dumps(as_json(tabulate([replace(run, scores=empty)])), allow_nan=False)
    row = json.loads(text)["rows"][0]
    assert row["micro_p"] is row["micro_p_std"] is None
    assert row["auc_interval"] == [None, None]
    assert (row["model"], row["n_parameters"], row["snr_db"]) == ("2apae", 1234, 10)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.7603),
        ({"alpha": 0.01}, 0.7428),
        ({"alpha": "auto"}, None),
        ({"model": "gwrp", "alpha": 0.0, "data": "snr_0"}, 0.5285),
        ({"data": "snr_5"}, None),
        ({"attention": "equations"}, None),
        ({"time_attention": "local"}, None),
        ({"event_corpus": "folder"}, None),
    ],
)
def test_json_holds_the_papers_figure_where_it_printed_one(changes, expected):
    rows = tabulate([scored(1, **{**PAPER_DATA, **changes})])
    assert as_json(rows)["rows"][0]["paper_micro_p"] == expected
