"""`sedmtl.train`: the command's run, from Python."""

from __future__ import annotations

import shutil

import pytest
import torch
import yaml
from conftest import COARSE_YAML, Project, write_project

import sedmtl
from sedmtl.config import load_config
from sedmtl.runtime.errors import SedmtlError
from sedmtl.training import train as training
from sedmtl.training.config import TrainConfig
from sedmtl.training.grid.forecast import forecast

pytestmark = pytest.mark.slow

RUN = "2apae_snr20_fold1_alpha0.001_seed0"
SMALL = {"fold": 1, "width": 2, "batch_size": 6, "precision": "float32"}
"""The settings of the fixture `trained`, which the command trains for 3 epochs."""


@pytest.fixture
def featured(trained, tmp_path):
    """A project with features and without a run."""
    shutil.copytree(trained.work / "features", tmp_path / "work" / "features")
    shutil.copy(trained.folder / "data.yaml", tmp_path)
    return Project(tmp_path)


def train(project, **changes):
    return sedmtl.train(project.folder / "data.yaml", **{**SMALL, "epochs": 3, **changes})


def test_an_interrupted_run_is_resumed_to_the_bytes_of_the_command(trained, featured, capfd):
    def interrupt(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(featured, on_epoch=interrupt)
    with pytest.raises(SedmtlError, match="stopped before epoch 3"):
        train(featured)
    seen = []
    run = train(featured, on_epoch=seen.append, resume=True)
    assert run.path == featured.work / "runs" / RUN
    for name in ("run.yaml", "model.json", "model.safetensors", "scores.h5"):
        commands = (trained.work / "runs" / RUN / name).read_bytes()
        assert (run.path / name).read_bytes() == commands, name
    assert capfd.readouterr() == ("", "")
    assert [epoch.number for epoch in run.epochs] == [1, 2, 3]
    assert seen == run.epochs, "past epochs are shown again"
    assert run.load().card.training["best_epoch"] == run.best.number
    assert run.best.validation.micro_p == run.load().card.training["validation_micro_p"]


def test_a_callback_can_end_the_run_which_is_finished_then(featured):
    calls = []

    def stop(epoch):
        calls.append(epoch)
        if epoch.number == 2:
            raise sedmtl.StopTraining

    run = train(featured, fold=None, epochs=40, on_epoch=stop)
    assert [epoch.number for epoch in calls] == [1, 2]
    assert all(epoch.n_epochs == 40 and epoch.held_out is None for epoch in run.epochs)
    assert run.load().classes
    settings = yaml.safe_load((run.path / "run.yaml").read_text())
    assert (settings["epochs"], settings["stopped_after"]) == (40, 2)
    assert train(featured, fold=None, epochs=40, on_epoch=stop) == run
    assert len(calls) == 2, "it was finished"
    assert "epoch 2 of" not in featured.run("check", featured.work).stdout
    project, config = load_config(featured.folder / "data.yaml"), TrainConfig.of(settings)
    (left,) = forecast(project, [config], torch.device("cpu"))
    assert left.n_epochs_left == 0, "a dry run knows, too"


def test_a_run_that_was_killed_while_it_ended_early_ends_with_the_same_epoch(featured, monkeypatch):
    def patience(n_epochs):
        seen = []

        def stop(epoch):
            seen.append(epoch.number)
            if len(seen) == n_epochs:
                raise sedmtl.StopTraining

        return seen, stop

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "_finish", kill)
        with pytest.raises(KeyboardInterrupt):
            train(featured, fold=None, epochs=40, on_epoch=patience(2)[1])
    seen, stop = patience(2)
    run = train(featured, fold=None, epochs=40, on_epoch=stop, resume=True)
    assert seen == [1, 2]
    assert [epoch.number for epoch in run.epochs] == [1, 2]
    assert yaml.safe_load((run.path / "run.yaml").read_text())["stopped_after"] == 2


def test_the_commands_messages_are_printed_on_request(featured, capfd):
    train(featured, epochs=1, verbose=True)
    train(featured, epochs=1, verbose=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch   1/1" in err
    assert "is already finished" in err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 0}, "epochs should be a whole number from 1, found 0"),
        ({"batch_size": 2.5}, r"batch_size should be a whole number from 1, found 2\.5"),
        ({"fold": 0}, "fold should be a whole number from 1, found 0"),
        ({"fold": 9}, "fold 9"),
        ({"lr": -1}, "lr should be a number above 0"),
        ({"lr": "fast"}, "lr should be a number above 0, found 'fast'"),
        ({"alpha": -1}, "the weight of task reconstruct should be a number from 0, auto or dwa"),
        ({"recipe": "weak"}, "recipe should be one of paper, strong, found 'weak'"),
        ({"model": "all"}, "model should be one of 2apae, "),
        ({"width": 0}, "--model 2apae"),
        ({"epoch": 3}, "2apae has no option 'epoch': known here: .*width"),
        ({"widht": 3}, "did you mean 'width'"),
        ({"data": "snr_30"}, "no store 'snr_30'"),
        ({"name": "../elsewhere"}, "the name of a run should be a folder name"),
        ({"tasks": {"rain": 1.0}}, "no task is called 'rain'"),
        ({"freeze_encoder": True}, "--freeze-encoder needs --from"),
        ({"from_run": "nobody"}, "no run 'nobody'"),
        ({"gpus": 2}, "gpus should be 0 or 1"),
    ],
)
def test_an_impossible_argument_is_one_sentence(trained, changes, sentence):
    before = sorted((trained.work / "runs").iterdir())
    with pytest.raises(SedmtlError, match=sentence):
        train(trained, **changes)
    assert sorted((trained.work / "runs").iterdir()) == before


def test_a_project_without_features_is_one_sentence(tmp_path):
    write_project(tmp_path, COARSE_YAML)
    with pytest.raises(SedmtlError, match="make one with 'sedmtl features'"):
        train(Project(tmp_path))
    with pytest.raises(SedmtlError, match=r"no data\.yaml in"):
        sedmtl.train(tmp_path / "none" / "data.yaml", fold=1)


def test_every_public_name_is_there():
    assert set(sedmtl.__all__) <= set(dir(sedmtl))
    assert all(getattr(sedmtl, name) for name in sedmtl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        sedmtl.trian  # noqa: B018
