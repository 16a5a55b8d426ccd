"""`sedmtl eval` through the command line."""

from __future__ import annotations

import json

import pytest
from conftest import Project, write_project
from sklearn.metrics import average_precision_score

from sedmtl.stores import read_scores

RUN = "2apae_snr20_fold1_alpha0.001_seed0"


@pytest.fixture(scope="module")
def crossvalidated(tmp_path_factory):
    """Two folds of a network."""
    made = Project(write_project(tmp_path_factory.mktemp("crossvalidated")))
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
    assert "honest: the epoch was chosen on an inner part of the training folds" in table
    assert "paper: the best epoch on the held-out fold itself" in table
    for word in ("snr_20", "2apae", "micro-P", "macro-P", "AUC", "1,2", "frequencies"):
        assert word in table


def test_the_tables_are_written_below_work(crossvalidated):
    crossvalidated.run("eval")
    markdown = (crossvalidated.work / "eval" / "eval.md").read_text()
    assert "| 2apae | 0.001 | 2 | 1,2 | honest |" in markdown
    assert json.loads((crossvalidated.work / "eval" / "eval.json").read_text())["schema"] == 1


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
