"""The cost of a grid before it is paid."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import COARSE_YAML, Project, write_project

from sedmtl.config import load_config
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store
from sedmtl.training.config import TrainConfig
from sedmtl.training.cost import measure_cost
from sedmtl.training.grid.forecast import Forecast, describe, forecast
from sedmtl.training.start import open_trainer

pytestmark = pytest.mark.slow

SMALL = ("--width", 2, "--epochs", 2, "--precision", "float32")


@pytest.fixture(scope="module")
def featured(tmp_path_factory):
    made = Project(write_project(tmp_path_factory.mktemp("forecast"), COARSE_YAML))
    made.run("mix", "--snr", 20)
    made.run("features")
    return made


def left(model, n_epochs, seconds):
    return Forecast(
        TrainConfig.of({"data": "snr_10", "fold": 1, "model": model}), n_epochs, seconds
    )


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


def recipe_of(fold):
    return TrainConfig.of({"data": "snr_20", "fold": fold, "width": 2, "epochs": 2})


def epochs_left(featured, *folds, run_name=None, force=False):
    recipes, device = [recipe_of(fold) for fold in folds], torch.device("cpu")
    forecasts = forecast(
        load_config(featured.folder / "data.yaml"), recipes, device, run_name, force=force
    )
    assert all((each.seconds > 0) == (each.n_epochs_left > 0) for each in forecasts)
    return [each.n_epochs_left for each in forecasts]


def test_what_is_thrown_away_is_paid_again(featured):
    assert featured.run("train", "--fold", 3, *SMALL).exit_code == 0
    assert epochs_left(featured, 3, 4) == [0, 2]
    assert epochs_left(featured, 3, 4, force=True) == [2, 2]


def test_a_run_is_looked_for_by_the_name_it_is_given(featured):
    assert featured.run("train", "--fold", 4, "--name", "mine", *SMALL).exit_code == 0
    assert epochs_left(featured, 4) == [2]
    assert epochs_left(featured, 4, run_name="mine") == [0]
    assert epochs_left(featured, 4, run_name="other") == [2]


def test_a_grid_has_no_single_name(featured):
    with pytest.raises(SedmtlError, match="--name is for a single run: this grid has 2"):
        epochs_left(featured, 1, 2, run_name="mine")


@pytest.mark.parametrize("epoch", ["null", "1e999", "-7", "9" * 400])
def test_broken_records_make_no_broken_forecast(featured, epoch):
    run = featured.work / "runs" / "broken"
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.jsonl").write_text(f'{{"epoch": {epoch}}}\n')
    (n_left,) = epochs_left(featured, 2, run_name="broken")
    assert n_left == (0 if epoch[0] == "9" else 2)


def test_costs_add_up_and_are_shared_by_what_runs_at_once():
    forecasts = [left("2apae", 50, 7200), left("2apae", 0, 0), left("gap", 10, 1200)]
    assert describe(forecasts, 4) == [
        "2apae: 1 of 2 runs to do, 2 h 00 min",
        "gap: 1 of 1 runs to do, 20 min 00 s",
        "in all: 2 of 3 runs, 4 at once, 35 min 00 s",
    ]


def test_an_impossible_grid_is_one_sentence(featured, one_sentence):
    one_sentence(featured.run("train", "--fold", 9, "--dry-run", *SMALL), "no fold 9")


def test_a_dry_run_heeds_force_and_name(featured, one_sentence):
    dry = ("train", "--fold", 1, "--dry-run", *SMALL)
    assert featured.run("train", "--fold", 1, "--resume", *SMALL).exit_code == 0
    for options, n_to_do in (((), 0), (("--force",), 1), (("--name", "new"), 1)):
        result = featured.run(*dry, *options)
        assert f"in all: {n_to_do} of 1 runs" in result.stdout
    one_sentence(featured.run(*dry, "--fold", 2, "--name", "new"), "--name is for a single run")


def test_measuring_the_cost_leaves_the_trainer_as_it_was(featured):
    path = featured.work / "features" / "snr_20.h5"
    with Store(path, "logmel") as store:
        config = replace(recipe_of(1), schedule="cosine")
        fresh, measured = (open_trainer(config, store, torch.device("cpu")) for _ in range(2))
        cost = measure_cost(measured)
        assert cost.epoch_s > 0
        for trainer in (fresh, measured):
            list(trainer.fit(lambda _: None))
        for key, value in fresh.network.state_dict().items():
            torch.testing.assert_close(value, measured.network.state_dict()[key], rtol=0, atol=0)


def test_memory_grows_with_the_batch_and_with_the_network(featured):
    path = featured.work / "features" / "snr_20.h5"
    values = {"data": "snr_20", "fold": 1}

    def n_bytes(**changes):
        with Store(path, "logmel") as store:
            config = TrainConfig.of({**values, **changes})
            return measure_cost(open_trainer(config, store, torch.device("cpu"))).n_bytes

    small = n_bytes(width=2, batch_size=2)
    assert 3.5 * small < n_bytes(width=2, batch_size=8) < 4.5 * small
    assert n_bytes(width=4, batch_size=2) > 1.5 * small
