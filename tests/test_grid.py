"""Which runs a grid has, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import COARSE_YAML, Project, write_project

from sedmtl.models.registry import TABLE_IV
from sedmtl.runtime.errors import SedmtlError
from sedmtl.training import train as train_stage
from sedmtl.training.grid.plan import plan_runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

BASE = {"width": 2, "epochs": 1}
SMALL = ("--width", 2, "--epochs", 1, "--precision", "float32")


def planned(stores=("snr_10",), models=("2apae",), alphas=("0.001",), seeds=(0,), folds=("1",)):
    return plan_runs(
        BASE, {}, [Path(f"{name}.h5") for name in stores], models, alphas, seeds, folds
    )


@pytest.fixture(scope="module")
def featured(tmp_path_factory):
    made = Project(write_project(tmp_path_factory.mktemp("grid"), COARSE_YAML))
    made.run("mix")
    made.run("features")
    return made


def test_the_papers_tables_are_84_runs():
    stores, folds = ("snr_0", "snr_10", "snr_20"), ("1", "2", "3", "4")
    runs = planned(stores, ("all",), ("0.001", "0", "0.01"), folds=folds)
    assert len(runs) == 84
    assert len({run.name for run in runs}) == 84


def test_a_network_without_a_decoder_is_run_once_whatever_the_weights():
    runs = planned(models=("gap", "2apae"), alphas=("0.001", "auto"))
    assert [(run.model, run.alpha) for run in runs] == [
        ("gap", 0.0), ("2apae", 0.001), ("2apae", "auto")
    ]  # fmt: skip


def test_all_folds_are_those_of_the_store(featured):
    store = featured.work / "features" / "snr_20.h5"
    runs = plan_runs(BASE, {}, [store], ["gmp"], ["0"], [0, 1], ["all"])
    assert [(run.seed, run.fold) for run in runs] == [(s, f) for s in (0, 1) for f in (1, 2, 3, 4)]


def test_shared_settings_of_the_runs_are_kept():
    assert {(run.network.width, run.epochs) for run in planned(models=TABLE_IV)} == {(2, 1)}


def test_runs_that_would_share_a_folder_are_refused():
    with pytest.raises(SedmtlError, match=r"two of the requested runs .*alpha0\.001_.*--alpha"):
        planned(alphas=("0.001", "0.0010000001"))


def test_a_run_without_enough_memory_leaves_the_others_unharmed(
    featured, one_sentence, monkeypatch
):
    conclude = train_stage.conclude

    def too_much_for_the_first_fold(trainer, store):
        if trainer.config.fold == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return conclude(trainer, store)

    monkeypatch.setattr(train_stage, "conclude", too_much_for_the_first_fold)
    result = featured.run("train", "--fold", 1, "--fold", 2, "--snr", 20, *SMALL)
    one_sentence(result, "1 of 2 runs failed", "fold1", "too little memory")
    finished = (featured.work / "runs").glob("*/model.safetensors")
    assert ["_fold2_" in str(path) for path in finished] == [True]


def test_a_grid_trains_every_combination_and_skips_finished_runs(featured):
    arguments = (
        "train",
        "--fold",
        1,
        "--snr",
        0,
        "--snr",
        20,
        "--model",
        "2apae",
        "--model",
        "gap",
    )
    first = featured.run(*arguments, *SMALL)
    assert first.exit_code == 0, first.output
    names = [Path(line).name for line in first.stdout.splitlines()]
    assert names == [
        "2apae_snr0_fold1_alpha0.001_seed0", "gap_snr0_fold1_alpha0_seed0",
        "2apae_snr20_fold1_alpha0.001_seed0", "gap_snr20_fold1_alpha0_seed0",
    ]  # fmt: skip
    second = featured.run(*arguments, *SMALL)
    assert second.exit_code == 0
    assert second.stdout == first.stdout
    assert second.stderr.count("already finished") == 4


def test_every_network_trains_and_is_scored(featured):
    result = featured.run("train", "--fold", 2, "--snr", 20, "--model", "all", *SMALL)
    assert result.exit_code == 0, result.output
    runs = [Path(line).name for line in result.stdout.splitlines()]
    table = featured.run("eval", *runs).stdout
    for model in TABLE_IV:
        assert f"{model}/2" in table


def test_one_bad_run_leaves_the_others_unharmed(featured, one_sentence):
    featured.run("train", "--fold", 3, "--snr", 0, *SMALL)
    clash = featured.run("train", "--fold", 3, "--fold", 4, "--snr", 0, *SMALL, "--lr", 0.01)
    one_sentence(clash, "1 of 2 runs failed", "2apae_snr0_fold3", "lr 0.001, now 0.01")
    good = featured.work / "runs" / "2apae_snr0_fold4_alpha0.001_seed0"
    assert (good / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--fold", 1, "--snr", 0, "--snr", 5), ("no store 'snr_5'", "snr_0, snr_20")),
        (("--fold", "all", "--snr", 0, "--name", "x"), ("--name is for a single run", "4")),
        (("--fold", 1, "--snr", 0, "--model", "gip"), ("no network is called 'gip'", "gap")),
    ],
)
def test_an_impossible_grid_is_one_sentence(featured, one_sentence, arguments, parts):
    one_sentence(featured.run("train", *arguments, *SMALL), *parts)


@pytest.mark.parametrize("option", [("--fold", "0"), ("--fold", "x"), ("--alpha", "-1"),
                                    ("--alpha", "nan"), ("--alpha", "some")])  # fmt: skip
def test_an_invalid_fold_or_weight_is_wrong_usage(featured, option):
    fold = () if option[0] == "--fold" else ("--fold", 1)
    assert featured.run("train", *fold, *option).exit_code == 2


def test_the_weight_can_be_learned(featured):
    result = featured.run("train", "--fold", 1, "--snr", 20, "--alpha", "auto", *SMALL)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().endswith("2apae_snr20_fold1_alphaauto_seed0")
