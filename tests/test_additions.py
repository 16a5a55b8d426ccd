"""Adding a network or an auxiliary task takes one file, or one class, and one line."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from typer.testing import CliRunner

import sedmtl
from sedmtl.models.vggish import GapSettings
from sedmtl.store import Store, read_scores
from sedmtl.training import tasks
from sedmtl.training.config import TrainConfig
from sedmtl.training.start import open_trainer
from sedmtl.training.tasks.task import Task

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_registry")]

NETWORK = '''
from dataclasses import dataclass

from torch import Tensor, nn

from sedmtl.models.output import SedOutput
from sedmtl.models.settings import NetworkSettings


@dataclass(frozen=True)
class HalfRateSettings(NetworkSettings):
    kernel: int = 3
    """Frames of the convolution."""

    @property
    def time_stride(self) -> int:
        return 2

    def build(self, n_classes, n_frames, n_mels, frames=None) -> nn.Module:
        return HalfRate(n_classes, self)


class HalfRate(nn.Module):
    def __init__(self, n_classes: int, settings: HalfRateSettings) -> None:
        super().__init__()
        around = (settings.kernel // 2, 1)
        self.conv = nn.Conv2d(1, settings.width, (settings.kernel, 3), padding=around)
        self.pool = nn.MaxPool2d((2, 1))
        self.class_conv = nn.Conv2d(settings.width, n_classes, 1)

    def forward(self, logmel: Tensor, *, reconstruct: bool = True) -> SedOutput:
        class_map = self.class_conv(self.pool(self.conv(logmel.unsqueeze(1)).relu()))
        frame = class_map.sigmoid().mean(dim=-1)
        return SedOutput(clip=frame.mean(dim=-1), frame=frame, class_map=class_map)
'''
LINE = '    "halfrate": "sedmtl.models.halfrate.HalfRateSettings",\n'


@contextmanager
def package_in(folder):
    """In the block, `folder` is the current folder and the package is imported from it."""

    def take():
        names = [name for name in sys.modules if name.partition(".")[0] == "sedmtl"]
        return {name: sys.modules.pop(name) for name in names}

    ours = take()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(folder)
            patch.chdir(folder)
            yield
    finally:
        take()
        sys.modules.update(ours)


@pytest.fixture(scope="module")
def extended(trained, tmp_path_factory):
    """A project after every command was run with an added network."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(Path(sedmtl.__file__).parent, folder / "sedmtl")
    (folder / "sedmtl" / "models" / "halfrate.py").write_text(NETWORK)
    registry = folder / "sedmtl" / "models" / "registry.py"
    registry.write_text(registry.read_text().replace("NETWORKS = {\n", f"NETWORKS = {{\n{LINE}"))
    shutil.copy(trained.folder / "data.yaml", folder)
    (folder / "work").mkdir()
    for name in ("features", "mixtures"):
        (folder / "work" / name).symlink_to(trained.work / name)
    clip = next((trained.work / "mixtures" / "snr_20").glob("*.wav"))
    commands = [
        ["train", "--fold", "1", "--model", "halfrate", "--kernel", "5", "--width", "2",
         "--epochs", "1", "--name", "half", "--precision", "float32"],
        ["eval", "--json", "rows.json", "--separation"],
        ["predict", str(clip)],
        ["visualize", str(clip), "--out", "clip.png"],
        ["visualize", str(clip), "--out", "clip.html", "--html"],
        ["separate", str(clip)],
        ["export", "half"],
        ["report"],
        ["check", "work"],
    ]  # fmt: skip
    with package_in(folder):
        app = import_module("sedmtl.cli.app")
        assert Path(app.__file__).is_relative_to(folder)
        for command in commands:
            result = CliRunner().invoke(app.app, command)
            assert result.exit_code == 0, (command, result.output)
    return folder


def test_a_network_is_a_file_and_a_line_and_goes_through_every_command(extended):
    run = extended / "work" / "runs" / "half"
    assert yaml.safe_load((run / "run.yaml").read_text())["kernel"] == 5
    assert json.loads((run / "model.json").read_text())["kernel"] == 5
    (row, _) = json.loads((extended / "rows.json").read_text())["rows"]
    assert (row["model"], row["width"], row["alpha"]) == ("halfrate", 2, 0.0)
    for name in ("clip.png", "clip.html", "work/report.html", "work/predictions/events.tsv"):
        assert (extended / name).stat().st_size
    assert (run / "model.onnx").is_file()
    assert list((extended / "work" / "separated").rglob("*.wav"))


def test_frame_scores_of_half_the_rate_stand_for_two_frames_of_the_log_mel(extended, trained):
    scores = read_scores(extended / "work" / "runs" / "half" / "scores.h5")
    theirs = read_scores(next(trained.work.glob("runs/*/scores.h5")))
    assert scores.frame.shape[-1] == theirs.frame.shape[-1] // 2
    np.testing.assert_allclose(scores.frame_edges_s, theirs.frame_edges_s[::2], atol=1e-9)


class Loudness(Task):
    """A task that predicts the average level of a clip."""

    def __init__(self, network, store):
        super().__init__(network, store)
        self.head = nn.Linear(network.n_channels, 1)

    def forward(self, output):
        return self.head(output.encoded.mean(dim=(-2, -1))).squeeze(-1)

    def target(self, batch):
        return batch.logmel.mean(dim=(-2, -1))

    def loss(self, predicted, target, reduction):
        return nn.functional.mse_loss(predicted, target, reduction=reduction)


@pytest.fixture
def loudness(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "loudness", Loudness)


@pytest.fixture
def store(trained):
    with Store(trained.work / "features" / "snr_20.h5", "logmel") as opened:
        yield opened


def trainer_of(store, **changes):
    values = {"data": "snr_20", "fold": 1, "width": 2, "epochs": 3, "batch_size": 6}
    return open_trainer(TrainConfig.of({**values, **changes}), store, torch.device("cpu"))


@pytest.mark.usefixtures("loudness")
def test_a_task_is_a_class_and_a_line_and_learns_next_to_the_reconstruction(store):
    trainer = trainer_of(store, lr=0.01, tasks={"loudness": 0.5})
    records = list(trainer.fit(lambda _: None))
    for record in records:
        expected = (
            record["detection_loss"]
            + 0.001 * record["reconstruction_loss"]
            + 0.5 * record["loudness_loss"]
        )
        assert record["loss"] == pytest.approx(expected, rel=1e-5)
        assert (record["alpha"], record["loudness_alpha"]) == (0.001, 0.5)
    assert records[-1]["loudness_loss"] < records[0]["loudness_loss"]
    assert not any("loudness" in key for key in trainer.best["honest"].weights)


@pytest.mark.usefixtures("loudness")
def test_a_task_resumes_from_a_saved_state_and_its_weight_may_be_learned(store):
    settings = {"tasks": {"loudness": "auto"}, "alpha": "auto"}
    whole, stopped = trainer_of(store, **settings), trainer_of(store, **settings)
    list(whole.fit(lambda _: None))
    next(stopped.fit(lambda _: None))
    resumed = trainer_of(store, **settings)
    resumed.restore(stopped.state())
    list(resumed.fit(lambda _: None))
    keys = ("loss", "loudness_loss", "loudness_alpha", "alpha")
    assert [resumed.history[-1][key] for key in keys] == [whole.history[-1][key] for key in keys]
    assert 0 < whole.history[-1]["loudness_alpha"] != 0.5


@pytest.mark.usefixtures("loudness")
def test_a_task_joins_any_network_and_is_part_of_the_runs_record():
    config = TrainConfig.of(
        {"data": "snr_20", "fold": 1, "model": "gap", "tasks": {"loudness": 0.5}}
    )
    assert config.network == GapSettings()
    assert config.plain()["tasks"] == {"loudness": 0.5}
    assert config.name.endswith("_loudness0.5")
    assert TrainConfig.of(config.plain()) == config
