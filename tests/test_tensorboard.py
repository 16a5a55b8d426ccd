"""`sedmtl train --tensorboard`: event files with the content of `metrics.jsonl`."""

from __future__ import annotations

import io
import json
import shutil
import sys

import matplotlib.image
import numpy as np
import pytest
import torch
from conftest import COARSE_YAML, Project, write_project
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sedmtl.report import figures as plots
from sedmtl.report.held_out_figure import draw_held_out
from sedmtl.store import Store
from sedmtl.training import tensorboard as curves
from sedmtl.training.config import TrainConfig
from sedmtl.training.split import split_rows
from sedmtl.training.start import open_trainer

pytestmark = pytest.mark.slow

SMALL = ("--fold", 1, "--width", 2, "--batch-size", 6, "--precision", "float32", "--name", "run")
RECIPE = TrainConfig.of({"data": "snr_20", "fold": 1, "width": 2, "epochs": 1, "batch_size": 6})


@pytest.fixture
def undrawn(monkeypatch):
    """Save empty pictures: drawing one takes most of a second."""
    monkeypatch.setattr(plots, "figure_3", lambda *_: Figure(figsize=(1, 1)))


@pytest.fixture(scope="module")
def featured(tmp_path_factory):
    """A project with one feature store; read only."""
    made = Project(write_project(tmp_path_factory.mktemp("featured"), COARSE_YAML))
    for arguments in (("mix", "--snr", 20), ("features",)):
        assert made.run(*arguments).exit_code == 0
    return made


@pytest.fixture(scope="module")
def watched(featured, tmp_path_factory):
    """A run of two epochs, resumed up to seven."""
    made = copy_of(featured, tmp_path_factory.mktemp("watched"))
    train(made, 2, "--tensorboard")
    train(made, 7, "--tensorboard")
    return run_of(made)


def copy_of(project, folder):
    """A copy of a project's stores, without runs."""
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    return Project(folder)


def run_of(project):
    return project.work / "runs" / "run"


def train(project, epochs, *options):
    result = project.run("train", "--epochs", epochs, "--resume", *SMALL, *options)
    assert result.exit_code == 0, result.output


def read(run):
    """The scalars and images that TensorBoard shows of a run."""
    shown = EventAccumulator(str(run), {"images": 0, "scalars": 0})  # all of them
    return shown.Reload()


def steps_of(run, tag="loss"):
    return [each.step for each in read(run).Scalars(tag)]


def records_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_every_number_of_the_learning_curve_is_shown(watched):
    shown, records = read(watched), records_of(watched)
    flat = {key for key, value in records[0].items() if not isinstance(value, dict)} - {"epoch"}
    parts = {f"{part}/{key}" for part in ("validation", "held_out") for key in records[0][part]}
    assert set(shown.Tags()["scalars"]) == flat | parts
    for tag in flat | parts:
        part, _, key = tag.rpartition("/")
        expected = [(record[part] if part else record)[key] for record in records]
        found = [each.value for each in shown.Scalars(tag)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)  # they are float32


def test_a_resumed_run_has_each_step_once(watched):
    assert steps_of(watched) == steps_of(watched, "held_out/auc") == [1, 2, 3, 4, 5, 6, 7]


def test_a_picture_is_drawn_every_fifth_epoch_and_at_each_end(watched):
    pictures = read(watched).Images("held_out")
    assert [picture.step for picture in pictures] == [2, 5, 7]
    for picture in pictures:
        pixels = matplotlib.image.imread(io.BytesIO(picture.encoded_image_string), format="png")
        assert min(pixels.shape[:2]) > 500
        assert len(np.unique(pixels[::10, ::10].reshape(-1, 3), axis=0)) > 100


@pytest.mark.usefixtures("undrawn")
def test_an_epoch_that_was_shown_but_not_saved_is_shown_once(featured, tmp_path):
    """As if the process had ended after the logging and before the saving."""
    project = copy_of(featured, tmp_path)
    train(project, 1, "--tensorboard")
    before = (run_of(project) / "last.pt").read_bytes()
    train(project, 2, "--tensorboard")
    (run_of(project) / "last.pt").write_bytes(before)
    (run_of(project) / "model.safetensors").unlink()
    train(project, 3, "--tensorboard")
    assert steps_of(run_of(project)) == [1, 2, 3]


@pytest.mark.usefixtures("undrawn")
def test_epochs_from_before_the_option_are_added(featured, tmp_path):
    project = copy_of(featured, tmp_path)
    train(project, 2)
    assert not list(run_of(project).glob("events*"))
    train(project, 3, "--tensorboard")
    losses = [each.value for each in read(run_of(project)).Scalars("loss")]
    np.testing.assert_allclose(losses, [each["loss"] for each in records_of(run_of(project))])


def test_pictures_leave_no_trace_in_the_weights(watched, featured, tmp_path):
    project = copy_of(featured, tmp_path)
    train(project, 7)
    found = (watched / "model.safetensors").read_bytes()
    assert found == (run_of(project) / "model.safetensors").read_bytes()


def test_only_one_of_several_processes_writes(featured, tmp_path, monkeypatch):
    monkeypatch.setattr("sedmtl.runtime.distributed.rank", lambda: 1)
    with Store(featured.work / "features" / "snr_20.h5", "logmel") as store:
        trainer = open_trainer(RECIPE, store, torch.device("cpu"))
        with curves.follow(tmp_path, trainer, store, draw_held_out) as add:
            add({"epoch": 1, "loss": 0.5})
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_starts_over_forgets_its_curves(featured, tmp_path):
    project = copy_of(featured, tmp_path)
    train(project, 2, "--tensorboard")
    result = project.run("train", "--epochs", 1, "--force", *SMALL, "--tensorboard")
    assert result.exit_code == 0
    assert steps_of(run_of(project)) == [1]


def test_the_picture_is_of_a_held_out_clip_that_holds_a_class(featured, tmp_path, monkeypatch):
    """It shows the network's output at that epoch, and the true events."""
    drawn = []
    draw = plots.figure_3
    monkeypatch.setattr(plots, "figure_3", lambda *said: drawn.append(said) or draw(*said))
    with Store(featured.work / "features" / "snr_20.h5", "logmel") as store:
        empty, row = split_rows(store.clips, RECIPE.fold).held_out[:2]
        store.clips.target[empty] = 0
        trainer = open_trainer(RECIPE, store, torch.device("cpu"))
        with curves.follow(tmp_path, trainer, store, draw_held_out) as add:
            for record in trainer.fit(lambda _: None):
                add(record)
        score = trainer.score(np.array([row]))[0]
    [([view], title, _, truth)] = drawn
    assert title == f"{store.clips.name[row]}, held out, after epoch 1"
    np.testing.assert_allclose(view.inspection.clip, score, atol=1e-6)
    true = {store.classes[i] for i in np.flatnonzero(store.clips.target[row])}
    assert {event.label for event in truth} == true


def test_without_tensorboard_one_sentence_says_what_to_install(
    featured, tmp_path, one_sentence, monkeypatch
):
    project = copy_of(featured, tmp_path)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    result = project.run("train", "--epochs", 1, *SMALL, "--tensorboard")
    one_sentence(result, "tensorboard", "pip install 'sedmtl[tensorboard]'")
    assert not run_of(project).exists()
    train(project, 1)
