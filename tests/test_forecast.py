"""The cost of a grid before it is paid."""

from __future__ import annotations

import pytest
from conftest import Project, write_project

from sedmtl.grid.forecast import Forecast, describe
from sedmtl.training.recipe import Recipe

SMALL = ("--width", 2, "--epochs", 2, "--precision", "float32")


@pytest.fixture(scope="module")
def featured(tmp_path_factory):
    made = Project(write_project(tmp_path_factory.mktemp("forecast")))
    made.run("mix", "--snr", 20)
    made.run("features")
    return made


def left(model, n_epochs, seconds):
    return Forecast(Recipe(data="snr_10", fold=1, model=model), n_epochs, seconds)


def test_a_dry_run_trains_nothing_and_names_every_network(featured):
    result = featured.run("train", "--fold", "all", "--model", "all", "--dry-run", *SMALL)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "2apae", "gap", "gmp", "gwrp", "atrous", "in all"
    ]  # fmt: skip
    assert "20 of 20 runs" in lines[-1]
    assert not (featured.work / "runs").exists()


def test_finished_runs_are_not_to_be_paid_again(featured):
    assert featured.run("train", "--fold", 1, *SMALL).exit_code == 0
    result = featured.run("train", "--fold", 1, "--fold", 2, "--dry-run", *SMALL)
    assert "1 of 2 runs" in result.stdout.splitlines()[-1]
    done = featured.run("train", "--fold", 1, "--dry-run", *SMALL)
    assert done.stdout.splitlines()[-1] == "in all: 0 of 1 runs, 0 s"


def test_more_epochs_of_a_finished_run_are_paid_by_the_epoch(featured):
    more = ("--width", 2, "--epochs", 5, "--precision", "float32")
    result = featured.run("train", "--fold", 1, "--dry-run", *more)
    assert "1 of 1 runs" in result.stdout.splitlines()[-1]


def test_costs_add_up_and_are_shared_by_what_runs_at_once():
    forecasts = [left("2apae", 50, 7200), left("2apae", 0, 0), left("gap", 10, 1200)]
    assert describe(forecasts, 4) == [
        "2apae: 1 of 2 runs to do, 2 h 00 min",
        "gap: 1 of 1 runs to do, 20 min 00 s",
        "in all: 2 of 3 runs, 4 at once, 35 min 00 s",
    ]


def test_an_impossible_grid_is_one_sentence(featured, one_sentence):
    one_sentence(featured.run("train", "--fold", 9, "--dry-run", *SMALL), "no fold 9")
