"""The heads of tasks that a run keeps, for separation, denoising and export."""

from __future__ import annotations

import json
import shlex
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import Project, invoke
from safetensors.torch import load_file

import sedmtl
from sedmtl.config import load_config
from sedmtl.data.audio import conform
from sedmtl.evaluation import denoising
from sedmtl.evaluation.stems import read_fold
from sedmtl.inference.checkpoint import load_model, read_checkpoint, save_model
from sedmtl.inference.detector import Detector
from sedmtl.inference.mel_masks import mel_masks
from sedmtl.inference.onnx import build_graph, export
from sedmtl.inference.separation import Separator
from sedmtl.metrics.spectral import rms_distance
from sedmtl.report import visualize
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store, read_scores
from sedmtl.training.state import load_state, save_state

pytestmark = pytest.mark.slow

SETTINGS = {"fold": 1, "model": "pooled", "width": 2, "batch_size": 6, "precision": "float32"}
TASKS = {"denoise": 0.1, "separate": 1.0}


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """A project with stores and a run of both tasks."""
    project = Project(tmp_path_factory.mktemp("heads"))
    shutil.copy(trained.folder / "data.yaml", project.folder)
    for name in ("events", "scenes"):
        (project.folder / name).symlink_to(trained.folder / name)
    project.work.mkdir()
    for name in ("features", "mixtures"):
        (project.work / name).symlink_to(trained.work / name)
    train(project, name="both", epochs=3)
    return project


def train(project, **options):
    data_yaml = project.folder / "data.yaml"
    return sedmtl.train(data_yaml, **{"alpha": 0, "tasks": TASKS, **SETTINGS, **options})


@pytest.fixture(scope="module")
def run(made):
    return made.work / "runs" / "both"


@pytest.fixture(scope="module")
def stems(made, run):
    """The first held-out mixture, with its events."""
    card, scores = load_model(run)[0], read_scores(run / "scores.h5")
    return next(iter(read_fold(made.work / "mixtures" / "snr_20.h5", 1, card, scores)))


def test_the_heads_are_in_the_model_file_and_detection_does_without_them(run, stems):
    weights = load_file(run / "model.safetensors")
    card, network = load_model(run)
    heads = read_checkpoint(run).heads()
    assert card.heads == tuple(heads) == ("denoise", "separate")
    assert {key.partition(".")[0] for key in weights} - {"heads"} == {
        key.partition(".")[0] for key in network.state_dict()
    }
    for name, head in heads.items():
        for key, value in head.state_dict().items():
            torch.testing.assert_close(value, weights[f"heads.{name}.{key}"], rtol=0, atol=0)
    with_heads = Detector.load(run, with_heads=True).network
    without = Detector.load(run).network
    logmel = without.logmel(stems.mixture[None])
    assert without.activations(logmel).tasks == {}
    assert set(with_heads.activations(logmel).tasks) == set(TASKS)
    torch.testing.assert_close(
        with_heads.activations(logmel).clip,
        without.activations(logmel).clip,
        rtol=0,
        atol=0,
    )


def test_a_run_without_such_tasks_has_the_same_files_as_before(trained):
    run = next((trained.work / "runs").iterdir())
    assert "heads" not in json.loads((run / "model.json").read_text())
    assert not any(key.startswith("heads") for key in load_file(run / "model.safetensors"))
    assert read_checkpoint(run).heads() == {}


def test_a_head_of_an_earlier_version_prevents_no_other_use(run, tmp_path, capfd):
    copied = tmp_path / "early"
    shutil.copytree(run, copied)
    card, network = load_model(run)
    weights = load_file(run / "model.safetensors")
    del weights[next(key for key in weights if key.startswith("heads.denoise."))]
    save_model(copied, card, weights)
    for key, value in load_model(copied)[1].state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[key], rtol=0, atol=0)
    Detector.load(copied)
    with pytest.raises(SedmtlError, match=r"head of --task denoise is of an earlier version"):
        Detector.load(copied, with_heads=True)
    assert list(read_checkpoint(copied).heads(only_fitting=True)) == ["separate"]
    shown = visualize._load(copied, None)
    assert "the tasks of early are not drawn" in " ".join(capfd.readouterr().err.split())
    assert shown.card.heads == card.heads


@pytest.fixture
def early(made, tmp_path):
    """A copy of the project with heads of `denoise` that lack a tensor.

    They belong to its finished run `early` and its unfinished run `stopped`.
    """
    project = Project(tmp_path / "project")
    shutil.copytree(made.folder, project.folder, symlinks=True)
    run = (project.work / "runs" / "both").rename(project.work / "runs" / "early")
    card, _ = load_model(run)
    weights = load_file(run / "model.safetensors")
    del weights[next(key for key in weights if key.startswith("heads.denoise."))]
    save_model(run, card, weights)
    stopped = run.with_name("stopped")
    shutil.copytree(run, stopped)
    (stopped / "model.safetensors").unlink()
    state = load_state(stopped)
    del state["tasks"][next(key for key in state["tasks"] if key.startswith("denoise."))]
    save_state(stopped, state)
    return project


def test_a_report_shows_runs_whose_heads_are_of_an_earlier_version(early, tmp_path):
    result = early.run("report", "--out", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    assert "No predictions of tasks: the head of --task denoise is of an earlier version" in page


def test_a_run_starts_from_those_heads_of_an_earlier_version_that_fit(early):
    given = ("--model", "pooled", "--width", 2, "--batch-size", 6, "--epochs", 1, "--lr", 1e-12)
    tasks = (f"--task={name}" for name in TASKS)
    result = early.run("train", "--fold", 1, "--from", "early", "--name", "begun", *given, *tasks)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "head of --task denoise starts from scratch: that of early is from an earlier" in said
    assert "its heads of separate are used as well" in said
    before, after = (load_file(early.work / "runs" / name / "model.safetensors")
                     for name in ("early", "begun"))  # fmt: skip
    for key in (key for key in before if key.endswith("coarse.weight")):
        torch.testing.assert_close(after[key], before[key], rtol=0, atol=1e-9)


def test_an_unfinished_run_with_a_head_of_an_earlier_version_is_to_be_trained_anew(
    early, one_sentence
):
    with pytest.raises(SedmtlError, match=r"belongs to another run: start over with --force"):
        train(early, name="stopped", epochs=3, resume=True)
    result = invoke(["check", str(early.work)])
    one_sentence(result, "1 outdated of 4")
    assert "runs/stopped: its head of --task denoise is of an earlier version" in result.stdout
    (todo,) = (line.partition("to do: sedmtl ")[2] for line in result.stdout.splitlines()
               if "to do: " in line)  # fmt: skip
    assert todo.endswith("--name stopped --force")
    assert early.run(*shlex.split(todo)).exit_code == 0
    assert invoke(["check", str(early.work)]).exit_code == 0


def test_other_tasks_are_named_as_options_when_a_run_is_resumed(made):
    with pytest.raises(SedmtlError, match=r"--task=denoise=0\.1 --task=separate=1\.0, now no"):
        train(made, name="both", tasks={}, epochs=3, resume=True)


def test_a_resumed_run_ends_as_an_uninterrupted_one(made, run):
    def stop(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(made, name="resumed", epochs=3, on_epoch=stop)
    resumed = train(made, name="resumed", epochs=3, resume=True).path
    expected = load_file(run / "model.safetensors")
    for key, value in load_file(resumed / "model.safetensors").items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0)


def test_losses_fall_and_targets_are_made_while_remixing(made, tmp_path):
    """Remixing needs no features with targets."""
    project = Project(tmp_path)
    shutil.copytree(made.folder, project.folder, symlinks=True, dirs_exist_ok=True)
    for name in ("features", "mixtures"):
        (project.work / name).unlink()
    for arguments in (("mix", "--snr", 20), ("features",)):
        assert project.run(*arguments).exit_code == 0
    with pytest.raises(SedmtlError, match=r"--task denoise needs stems.*sedmtl mix --stems"):
        train(project, name="stored", epochs=1)
    run = train(project, name="mixed", epochs=6, remix=True, lr=0.01)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    for name in TASKS:
        losses = [line[f"{name}_loss"] for line in lines]
        assert losses[-1] < 0.97 * losses[0]


def test_learned_masks_take_the_place_of_presences(run, stems):
    detector = Detector.load(run, channels_last=False, with_heads=True)
    mixture = conform(stems.mixture, len(stems.mixture))
    output = detector.network.activations(detector.network.logmel(mixture[None]))
    _, mask = Separator(detector).listen(mixture)
    torch.testing.assert_close(mask, mel_masks(output, detector.card)[0])
    assert mask.std(dim=-1).max() > 0  # differs between mel bins, unlike presences
    _, presences = Separator(Detector.load(run)).listen(mixture)
    assert presences.std(dim=-1).max() < 1e-6


def test_the_denoiser_is_measured_if_there_is_one(made, run, stems):
    detector = Detector.load(run, with_heads=True)
    noisy = detector.network.logmel(stems.mixture[None])
    left = noisy - detector.network.activations(noisy).tasks["denoise"]
    measured = denoising.measure(detector, [stems]).all_db
    everywhere = np.ones(noisy.shape[1:], bool)
    limit = detector.network.logmel(stems.events[None]).max() - 60 / denoising.DB
    expected = rms_distance(
        *(each.clamp_min(limit)[0].numpy() * denoising.DB for each in (noisy, left)), everywhere
    )
    assert measured.decoded_to_noisy == pytest.approx(expected, rel=1e-4)
    result = made.run("eval", "both", "--denoise", "--separation")
    assert result.exit_code == 0
    assert "leak" in result.stdout


def test_events_that_are_measured_are_those_of_the_features(trained, stems):
    """`eval` and `train` use the same clean events."""
    with Store(trained.work / "features" / "snr_20.h5", "logmel", "clean_logmel") as features:
        row = int(np.flatnonzero(features.clips.fold == 1)[0])
        stored = features.read(np.array([row]), "clean_logmel")[0]
    detector = Detector.load(next((trained.work / "runs").iterdir()))
    clean = detector.network.logmel(stems.events[None])[0].numpy()
    np.testing.assert_allclose(np.exp(stored), np.exp(clean), rtol=0.02, atol=1e-4)


@pytest.mark.usefixtures("one_registry")
def test_the_exported_masks_are_those_of_separation(run, stems):
    card, network = load_model(run)
    content = build_graph(card, network, "both", read_checkpoint(run).heads()["separate"])
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    waveforms = np.stack([stems.mixture, 0.1 * stems.mixture])  # at two levels
    clip, frame, mask = session.run(None, {"waveform": waveforms})
    detector = Detector.load(run, channels_last=False, with_heads=True)
    conformed = conform(stems.mixture, len(stems.mixture))
    output = detector.network.activations(detector.network.logmel(conformed[None]))
    for of_graph, expected in (
        (clip, output.clip), (frame, output.frame), (mask, mel_masks(output, card)),
    ):  # fmt: skip
        np.testing.assert_allclose(of_graph, expected.expand(2, *expected.shape[1:]), atol=1e-4)


def test_masks_of_a_run_that_learned_none_are_not_exported(trained, made):
    config = load_config(made.folder / "data.yaml")
    run = next((trained.work / "runs").iterdir())
    with pytest.raises(SedmtlError, match=r"learned no masks.*--task separate"):
        export(config, str(run), masks=True)
