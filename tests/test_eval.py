"""`sedmtl eval` through the command line."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from conftest import COARSE_YAML, Project, write_project
from matplotlib.image import imread
from sklearn.metrics import average_precision_score

import sedmtl
from sedmtl.evaluation.localisation import measure
from sedmtl.inference.checkpoint import load_card
from sedmtl.store import Store, read_scores

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

RUN = "2apae_snr20_fold1_alpha0.001_seed0"


@pytest.fixture(scope="module")
def crossvalidated(tmp_path_factory):
    """A project with two folds of a network."""
    made = Project(write_project(tmp_path_factory.mktemp("crossvalidated"), COARSE_YAML))
    made.run("mix", "--snr", 20)
    made.run("features")
    for fold in (1, 2):
        result = made.run(
            "train", "--fold", fold, "--width", 2, "--epochs", 2, "--precision", "float32"
        )
        assert result.exit_code == 0, result.output
    return made


def test_json_rows_hold_what_the_design_promises(crossvalidated, tmp_path):
    result = crossvalidated.run("eval", "--json", tmp_path / "rows.json")
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "rows.json").read_text())
    assert data["schema"] == 1
    honest, paper = data["rows"]
    common = {"data": "snr_20", "snr_db": 20, "model": "2apae", "alpha": 0.001, "width": 2,
              "folds": [1, 2], "n_classes_scored": 3}  # fmt: skip
    assert common.items() <= honest.items()
    assert common.items() <= paper.items()
    assert (honest["selection"], paper["selection"]) == ("honest", "paper")
    assert paper["micro_p"] >= honest["micro_p"]


def test_scores_are_scikit_learns_on_the_held_out_fold(trained, tmp_path):
    trained.run("eval", "--json", tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    scores = read_scores(trained.work / "runs" / RUN / "scores.h5")
    for row in rows:
        score = scores.score[row["selection"]]
        micro_p = average_precision_score(scores.target, score, average="micro")
        assert row["micro_p"] == pytest.approx(micro_p)


def test_the_table_fits_a_terminal_and_says_what_each_selection_means(crossvalidated):
    table = crossvalidated.run("eval").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    table = " ".join(table.split())
    assert "Epoch chosen by validation: a part of the training folds" in table
    assert "test (paper's): the held-out fold itself, optimistic" in table
    for word in ("snr_20", "2apae", "micro-P", "macro-P", "AUC", "folds 1,2", "baseline"):
        assert word in table


def test_the_tables_are_written_below_work(crossvalidated):
    crossvalidated.run("eval")
    markdown = (crossvalidated.work / "eval" / "eval.md").read_text()
    assert "| 2apae/2 | validation |" in markdown
    assert json.loads((crossvalidated.work / "eval" / "eval.json").read_text())["schema"] == 1


@pytest.fixture
def moved(tmp_path):
    """The same project with moved events: another store of the same plan."""
    made = Project(write_project(tmp_path / "moved", COARSE_YAML))
    config = made.folder / "data.yaml"
    config.write_text(config.read_text().replace("[0.1, 0.7, 1.3]", "random"))
    made.run("mix", "--snr", 20)
    made.run("features")
    return made.work / "features" / "snr_20.h5"


def test_a_run_is_scored_on_another_store_of_the_same_plan(crossvalidated, moved, tmp_path):
    result = crossvalidated.run("eval", "--on", moved, "--json", tmp_path / "rows.json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert (row["on"], row["selection"], row["folds"]) == (str(moved), "honest", [1, 2])
    expected = []
    for fold, run in ((1, RUN), (2, RUN.replace("fold1", "fold2"))):
        detector = sedmtl.load(crossvalidated.work / "runs" / run)
        with Store(moved, "logmel") as store:
            rows = np.flatnonzero(store.clips.fold == fold)
            logmel = torch.from_numpy(store.read(rows))
            target = store.clips.target[rows]
        with torch.no_grad():
            score = detector.network.activations(logmel).clip
        expected.append(average_precision_score(target, score, average="micro"))
    assert row["micro_p"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_on_its_own_store_a_run_scores_what_it_scored_in_training(crossvalidated, tmp_path):
    own = crossvalidated.work / "features" / "snr_20.h5"
    crossvalidated.run("eval", "--json", tmp_path / "a.json")
    crossvalidated.run("eval", "--on", own, "--json", tmp_path / "b.json")
    before, after = (json.loads((tmp_path / f"{x}.json").read_text())["rows"][0] for x in "ab")
    assert after["micro_p"] == pytest.approx(before["micro_p"], abs=1e-6)


def test_a_store_of_another_plan_is_refused(crossvalidated, tmp_path, one_sentence):
    other = Project(write_project(tmp_path / "other", COARSE_YAML))
    config = other.folder / "data.yaml"
    config.write_text(config.read_text().replace("mixing:", "mixing:\n  seed: 9"))
    other.run("mix", "--snr", 20)
    other.run("features")
    result = crossvalidated.run("eval", "--on", other.work / "features" / "snr_20.h5")
    one_sentence(result, "another plan", "fold 1")


def test_named_runs_only(crossvalidated, tmp_path):
    crossvalidated.run("eval", RUN, "--json", tmp_path / "one.json")
    assert json.loads((tmp_path / "one.json").read_text())["rows"][0]["folds"] == [1]


def test_unfinished_runs_are_left_out_and_named(trained):
    unfinished = trained.work / "runs" / "half"
    unfinished.mkdir()
    (unfinished / "run.yaml").write_text("fold: 2\n")
    try:
        result = trained.run("eval")
    finally:
        (unfinished / "run.yaml").unlink()
        unfinished.rmdir()
    assert result.exit_code == 0
    assert "not finished: half" in result.stderr


def test_runs_whose_features_have_changed_since_are_named(trained, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(trained.folder, folder)
    copy = Project(folder)
    note = "Outdated, as their features have changed since: 2apae_snr20_fold1"
    assert note not in " ".join(copy.run("eval").stdout.split())
    config = (folder / "data.yaml").read_text()
    (folder / "data.yaml").write_text(re.sub(r"n_mels: \d+", "n_mels: 12", config))
    assert copy.run("features").exit_code == 0
    result = copy.run("eval")
    assert note in " ".join(result.stdout.split())
    assert copy.run("report").exit_code == 0
    assert note in (copy.work / "report.html").read_text()


def test_without_runs_eval_says_how_to_make_one(project, one_sentence):
    one_sentence(project.run("eval"), "no finished run", "sedmtl train --fold 1")


def test_a_run_that_does_not_exist_is_named(trained, one_sentence):
    one_sentence(trained.run("eval", "2apae_snr20_fold1"), "no run", f"did you mean '{RUN}'")


def test_damaged_scores_are_one_sentence(crossvalidated, one_sentence):
    path = crossvalidated.work / "runs" / RUN / "scores.h5"
    content = path.read_bytes()
    path.write_bytes(content[:100])
    try:
        one_sentence(crossvalidated.run("eval"), "scores.h5")
    finally:
        path.write_bytes(content)


def rows_of(project, tmp_path, *arguments):
    result = project.run("eval", *arguments, "--json", tmp_path / "rows.json")
    assert result.exit_code == 0, result.output
    return json.loads((tmp_path / "rows.json").read_text())["rows"], result.stdout


def test_localisation_is_measured_for_the_validation_selected_network_only(
    crossvalidated, tmp_path
):
    (honest, paper), _ = rows_of(crossvalidated, tmp_path)
    for key in ("psds1", "psds2", "collar_f1_macro", "segment_f1_micro", "frame_ap_micro"):
        assert 0 <= honest[key] <= 1
        assert honest[f"{key}_std"] >= 0
        assert key not in paper


def test_localisation_averages_what_is_measured_on_the_held_out_scores(trained, tmp_path):
    (honest, _), _ = rows_of(trained, tmp_path, RUN)
    run = trained.work / "runs" / RUN
    measured = measure(read_scores(run / "scores.h5"), load_card(run).postprocessing)
    for key, value in measured.values().items():
        assert honest[key] == pytest.approx(value)


def test_the_stored_frame_scores_are_those_of_the_network(trained):
    run = trained.work / "runs" / RUN
    scores, detector = read_scores(run / "scores.h5"), sedmtl.load(run)
    with Store(trained.work / "features" / "snr_20.h5", "logmel") as store:
        rows = np.flatnonzero(store.clips.fold == 1)
        _, frame = detector.network.score(store.read, rows)
        names = [store.clips.name[row] for row in rows]
    np.testing.assert_allclose(scores.frame, frame, atol=1e-3)
    assert list(scores.name) == names


def test_every_class_has_a_line_on_request(crossvalidated, tmp_path):
    (honest, _), plain = rows_of(crossvalidated, tmp_path)
    _, table = rows_of(crossvalidated, tmp_path, "--per-class")
    assert "onsets: classes" not in plain
    for name in ("tone_300", "tone_900", "tone_2700"):
        assert name in table
        assert honest["per_class"]["frame_ap"].keys() >= {name}
    assert max(map(len, table.splitlines())) <= 80


@pytest.mark.parametrize("undrawn", [None])  # here figures are drawn
def test_the_curves_are_drawn(crossvalidated, tmp_path):
    rows_of(crossvalidated, tmp_path)
    picture = crossvalidated.work / "eval" / "psds_snr_20.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert min(imread(picture).shape[:2]) > 500


def test_measurements_are_not_repeated(crossvalidated, tmp_path, monkeypatch):
    rows_of(crossvalidated, tmp_path)
    calls = []
    monkeypatch.setattr(
        "sedmtl.evaluation.evaluate.measure", lambda *a: calls.append(a) or measure(*a)
    )
    rows_of(crossvalidated, tmp_path)
    assert not calls
    path = crossvalidated.work / "runs" / RUN / "localisation.json"
    for damage in ("{", '{"made_from": {}}', "[]"):
        path.write_text(damage)
        rows_of(crossvalidated, tmp_path)
    assert len(calls) == 3


def test_onsets_that_move_are_named_in_the_table(crossvalidated, moved, tmp_path):
    (row,), table = rows_of(crossvalidated, tmp_path, "--on", moved)
    assert row["onsets"] == "random"
    assert "random onsets" in table
    assert row["psds1"] is not None
