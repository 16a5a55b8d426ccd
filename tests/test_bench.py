"""The benchmark: its references agree with sedmtl, and its table is complete."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from runpy import run_module

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # bench is not part of the installed package

from bench import method, networks, runner, scale, stores, study, tasks  # noqa: E402
from bench.__main__ import FAMILIES  # noqa: E402
from bench.arithmetic import network_gflop  # noqa: E402
from bench.label_heads import label_terms  # noqa: E402
from bench.project import (  # noqa: E402
    QUICK,
    SNR_DB,
    Settings,
    sedmtl,
    write_corpora,
    write_project,
)
from bench.report import COLUMNS, WIDTH, figures  # noqa: E402
from bench.runner import Timing, process, worker  # noqa: E402
from sedmtl.config import load_config  # noqa: E402
from sedmtl.data.corpora import load_scenes  # noqa: E402
from sedmtl.data.mixing import plan_project  # noqa: E402
from sedmtl.evaluation.evaluate import score_runs  # noqa: E402
from sedmtl.inference.detector import Detector  # noqa: E402
from sedmtl.store import Store, annotation_of  # noqa: E402
from sedmtl.training.grid import forecast  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A project of eight mixtures at the paper's settings, with features; otherwise tiny."""
    folder = tmp_path_factory.mktemp("bench")
    tiny = {"n_mixtures": 8, "batch": 2, "width": 2, "minutes": 0.2, "short_minutes": 0.2}
    sizes = {**QUICK, **tiny, "long_minutes": 0.2, "n_scored": 4, "n_scaled": 80}
    made = Settings(folder=str(folder), corpora=str(folder / "corpora"), **sizes)
    write_corpora(made)
    path = write_project(made.shared.parent, made)
    sedmtl("mix", "--snr", str(SNR_DB), "--wav", "2", "--config", str(path))
    sedmtl("features", "--config", str(path))
    return made


@pytest.fixture(scope="module")
def config(settings):
    return load_config(settings.shared)


def test_the_plain_mixtures_are_those_of_sedmtl_within_a_step_of_16_bits(config):
    planned = plan_project(config).mixtures
    path = config.work_dir / "mixtures" / f"snr_{SNR_DB}.h5"
    with Store(path, "waveform") as store:
        assert [mixture.name for mixture in planned] == list(store.clips.name)
        for row in (0, 7):
            plain = stores.mixed(planned[row], SNR_DB, config.mixing)
            made = store.read(range(row, row + 1))[0]
            assert plain.dtype == made.dtype == np.int16
            assert np.abs(plain).max() > 10_000
            assert np.abs(plain.astype(int) - made).max() <= 1


def test_the_plain_log_mels_are_those_of_sedmtl(config):
    filters = stores.mel_filters(config)
    wavs = sorted((config.work_dir / "mixtures" / f"snr_{SNR_DB}").glob("*.wav"))
    plain = [stores.logmel(wav, config, filters) for wav in wavs]
    path = config.work_dir / "features" / f"snr_{SNR_DB}.h5"
    with Store(path, "logmel") as store:
        # float32 against float64, natural logarithms of magnitudes around 0.01.
        np.testing.assert_allclose(store.read(range(2)), plain, atol=1e-3)


def test_a_plain_step_has_the_loss_of_the_trainer(settings, monkeypatch):
    monkeypatch.setattr("bench.networks.choose_precision", lambda _: "float32")
    monkeypatch.setattr("bench.networks.choose_device", lambda _: torch.device("cpu"))
    with networks.open_store(settings) as store:
        assert networks.config_of(settings).precision == "float32"
        trainer, plain = networks.trainer_of(settings, store), networks.PlainNetwork(settings)
        trainer.network.train()
        steps, batches = trainer.steps(trainer.split.train), plain.batches()
        for _ in range(2):  # the second time reuses what the first learned
            n_clips, losses = next(steps)
            assert plain.step(*next(batches)) == pytest.approx(losses[0].item() / n_clips, rel=1e-4)
        steps.close()
        rows = trainer.split.train[: settings.batch]
        scores = [trainer.score(rows), plain.score(*next(plain.batches()))]
        assert scores[0].shape == scores[1].shape == (settings.batch, len(store.classes))


def test_the_arithmetic_counted_is_that_of_the_layers_and_three_times_that_for_training():
    def convolution(n_in, n_out, area=9):
        return 2 * 311 * 64 * n_in * n_out * area

    stack = [1, 32, 64, 128, 256]
    pairs = list(pairwise(stack))
    encoder = sum(convolution(a, b) + convolution(b, b) for a, b in pairs)
    decoder = sum(convolution(b, a) + convolution(a, a) for a, b in pairs)
    classes = convolution(256, 41, area=1)
    scoring = 1e9 * network_gflop(41, 311, 64, 32, training=False)
    training = 1e9 * network_gflop(41, 311, 64, 32, training=True)
    # The rest is the attention.
    assert encoder + classes < scoring < 1.05 * (encoder + classes)
    assert training == pytest.approx(3 * (scoring + decoder), rel=0.01)


def test_a_row_compares_medians_per_item():
    timings = {
        "ours": [Timing(s, n, 10 * n, peak_mb=100) for s, n in ((0.5, 1), (0.2, 2), (0.25, 1))],
        "reference": [Timing(1.0, audio_s=10, peak_mb=300)],
        "limit": [Timing(0.2, peak_mb=1)],
    }
    row = figures(timings, "clips/s")
    assert (row["ours"], row["reference"], row["ratio"]) == (4, 1, 4)
    assert (row["real_time"], row["of_limit"]) == (40, 0.8)
    assert (row["peak_mb"], row["reference_peak_mb"]) == (100, 300)


def test_the_error_of_a_worker_names_the_cause(settings):
    failing = partial(process, words=("-c", "raise ValueError('no such thing')"))
    with pytest.raises(RuntimeError, match="no such thing"), worker(failing, settings) as run:
        run()
    # Not a function of this file, because the process would import this file's imports.
    ending = partial(exec, "import os; os._exit(3)")
    with pytest.raises(RuntimeError, match="terminated abruptly"), worker(ending, {}):
        pass


@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in ("help", "scale")])
def test_every_side_of_every_stage_runs(name, settings):
    n_threads = torch.get_num_threads()
    stages = resolve_name(FAMILIES[name]).stages
    for side in dict.fromkeys(side for stage in stages if not stage.needs_gpu
                              for side in stage.sides.values()):  # fmt: skip
        timing = side(settings)()
        assert timing.seconds > 0
        assert timing.n_items > 0
    torch.set_num_threads(n_threads)  # not needed in a child process


def test_processes_are_timed_at_another_scale(settings):
    assert scale.command(settings, 0.1, ("mix", "--snr", str(SNR_DB)))().seconds > 0
    scale.make_plan(8)


def test_a_quick_run_prints_every_column_and_writes_json(tmp_path, monkeypatch, capsys):
    (stage,) = runner.STARTUP.stages
    without_torch = partial(process, words=("-c", ""))
    plain = replace(stage, reference=without_torch, n_timings=1, n_warm=0)
    monkeypatch.setattr(runner, "STARTUP", replace(runner.STARTUP, stages=(plain,)))
    path = tmp_path / "bench.json"
    arguments = ["--quick", "--only", "help", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    monkeypatch.delitem(sys.modules, "bench.__main__")
    run_module("bench", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if line.startswith("stage"))
    for column in COLUMNS.values():
        assert column in header
    assert max(map(len, lines[3:])) <= WIDTH
    report = json.loads(path.read_text())
    assert {"machine", "versions", "commit", "limits", "settings"} <= set(report)
    assert [row["stage"] for row in report["rows"]] == ["sedmtl --help"]
    assert all(row["ours"] > 0 and row["peak_mb"] > 0 for row in report["rows"])


def test_heads_are_measured_against_the_known_events_and_scenes(settings, config):
    sedmtl("train", "--fold", "1", "--model", "pooled", "--width", "2", "--epochs", "1",
           "--task", "reconstruct=0", "--task", "count", "--task", "active", "--task", "scene",
           "--name", "heads", "--config", str(settings.shared))  # fmt: skip
    features = config.work_dir / "features/snr_10.h5"
    (run,) = score_runs(config.work_dir / "runs", ["heads"], features)
    measured = label_terms(run, features)
    detector = Detector.load(run.folder, with_heads=True)
    label_of = {scene.name: scene.label for scene in load_scenes(config)}
    errors, active, score, right = [], [], [], []
    with Store(config.work_dir / "mixtures/snr_10.h5", "waveform") as store:
        for row in np.flatnonzero(store.clips.fold == 1):
            found = detector.inspect(store.read_audio([row])[0], config.mixing.sample_rate)
            truth = annotation_of(store.clips.events.of_clips(np.array([row])))
            centre_s = (found.logmel_edges_s[:-1] + found.logmel_edges_s[1:]) / 2
            sounds = (truth.onset_s[:, None] <= centre_s) & (centre_s < truth.offset_s[:, None])
            n = len(found.tasks.count)
            at = [slice(t * len(centre_s) // n, -(-(t + 1) * len(centre_s) // n)) for t in range(n)]
            count = np.array([sounds.sum(axis=0)[frames].max() for frames in at])
            errors.append(np.abs(found.tasks.count - count))
            active.append(count > 0)
            score.append(found.tasks.active)
            ((scene, _),) = found.tasks.likeliest_scenes(1)
            right.append(scene == label_of[store.clips.scene[row]])
    # `inspect` sets a clip's peak, which a store of mixtures does not.
    assert measured["count_error"] == pytest.approx(np.mean(errors), rel=0.01)
    expected = average_precision_score(np.ravel(active), np.ravel(score))
    assert measured["active_ap"] == pytest.approx(expected, rel=0.01)
    assert measured["scene_accuracy"] == np.mean(right)


@pytest.mark.parametrize("asked", [method.STUDY, tasks.STUDY], ids=["method", "tasks"])
def test_the_rows_of_a_study_are_different_runs_of_train(asked, settings, monkeypatch):
    """Two equal rows would be one run under two names."""
    runs = []

    def outlook(_project, configs, _how):
        runs.append(configs)
        return []

    monkeypatch.setattr(forecast, "outlook", outlook)
    where = ["--fold", "1", "--snr", str(SNR_DB), "--config", str(settings.shared), "--dry-run"]
    for options in asked.rows.values():
        words = [word for word in options.split() if not word.startswith("remix.")]
        sedmtl("train", *words, *where)
    assert {len(each) for each in runs} == {1}, "a row is one run, no grid"
    assert len(set(asked.rows.values())) == len(asked.rows)
    plan = study.Plan(asked, Path("data.yaml"), None, Path("runs.jsonl"), 10.0, 20)
    assert len({plan.run_name(row, 1, 0) for row in asked.rows}) == len(asked.rows)
    assert asked.reference in asked.rows
