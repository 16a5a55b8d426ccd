"""Launching processes, with commands that need no GPU."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import yaml
from conftest import Project, invoke

from sedmtl.models.registry import TABLE_IV
from sedmtl.runtime.errors import SedmtlError
from sedmtl.training.config import TrainConfig
from sedmtl.training.grid import launch, runs
from sedmtl.training.job import TrainOptions, job_commands

pytestmark = pytest.mark.slow

SMALL = ("--width", 2, "--batch-size", 6, "--precision", "float32")
ONE_FAILS = """
import sys
import torch
from sedmtl.runtime import distributed
from sedmtl.runtime.errors import SedmtlError
try:
    with distributed.session(None):
        if distributed.rank() == 1:
            raise SedmtlError("this one alone ran out of memory")
        distributed.add_up(torch.zeros(1))
except SedmtlError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture
def here(trained, tmp_path):
    """A project of its own with the features of `trained`."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "features").symlink_to(trained.work / "features")
    (tmp_path / "data.yaml").write_text((trained.folder / "data.yaml").read_text())
    return Project(tmp_path)


@pytest.fixture
def two_gpus(monkeypatch):
    """Make this process, but not its children, believe that there are two GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_another_process_trains_the_run_of_its_file(here):
    config = TrainConfig.of(
        {"data": "snr_20", "fold": 2, "model": "2apae", "attention": "equations",
         "time_attention": "local", "reconstruction": "linear", "width": 2, "alpha": 1 / 3,
         "epochs": 1, "batch_size": 6, "lr": 1 / 7000, "seed": 3, "precision": "float32"}
    )  # fmt: skip
    data_yaml = str(here.folder / "data.yaml")
    with job_commands([config], TrainOptions("again", data_yaml=data_yaml)) as (command,):
        *how, subcommand, file = command
        assert how == ["-P", "-m", "sedmtl"]  # -P: no modules from the project's folder
        assert invoke([subcommand, file]).exit_code == 0
    assert not Path(file).exists()
    settings = yaml.safe_load((here.work / "runs" / "again" / "run.yaml").read_text())
    assert TrainConfig.of(settings) == config


def test_every_configuration_comes_back_from_its_plain_values():
    for model in TABLE_IV:
        for alpha in (0.0, 1 / 3, "auto"):
            config = TrainConfig.of({"data": "a", "fold": 1, "model": model, "alpha": alpha})
            assert TrainConfig.of(json.loads(json.dumps(config.plain()))) == config
            assert TrainConfig.of(dict(zip(*[iter(_words(config))] * 2, strict=True))) == config


def _words(config):
    """The command-line options of a configuration, as names and values."""
    for word in config.words():
        yield word.removeprefix("--").replace("-", "_") if word.startswith("--") else _value(word)


def _value(word):
    return yaml.safe_load(word)


def test_one_failing_process_ends_the_others_and_only_it_reports(capfd):
    with pytest.raises(SystemExit) as exit_info:
        launch.launch(["-c", ONE_FAILS], 2)
    assert exit_info.value.code == 1
    assert capfd.readouterr().err == "error: this one alone ran out of memory\n"


def test_a_killed_process_is_named_in_one_sentence_and_nothing_is_left(
    capfd, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "import os; os.environ['RANK'] == '1' and os.kill(os.getpid(), 9)"
    with pytest.raises(SedmtlError, match=r"process 2 of 2 was ended by SIGKILL.*--resume"):
        launch.launch(["-c", code], 2)
    assert capfd.readouterr().err == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("two_gpus")
def test_runs_of_a_grid_get_a_gpu_each_and_all_failures_are_reported(
    here, one_sentence, monkeypatch
):
    fails = ["-c", "import os, sys; sys.exit('error: on ' + os.environ['CUDA_VISIBLE_DEVICES'])"]
    monkeypatch.setattr(runs, "job_commands", lambda jobs, _: nullcontext([fails] * len(jobs)))
    result = here.run("train", "--fold", 1, "--fold", 2, "--gpus", 2, *SMALL)
    one_sentence(result, "2 of 2 runs failed", "fold1", "fold2", "on 0", "on 1")
    assert "0 of 2 runs done, 2 failed" in result.stderr
    logs = [path.read_text() for path in here.work.glob("runs/*/train.log")]
    assert sorted(logs) == ["error: on 0\n", "error: on 1\n"]


def test_a_failed_run_of_a_grid_leaves_the_others_alone(tmp_path):
    commands = {
        tmp_path / "good": ["-c", "print('fine')"],
        tmp_path / "bad": ["-c", "import sys; sys.exit('error: no clips')"],
        tmp_path / "killed": ["-c", "import os; os.kill(os.getpid(), 9)"],
        tmp_path / "last": ["-c", "import os; print(os.environ['SLOT'])"],
    }
    failed = launch.run_grid(commands, [{"SLOT": "a"}])
    assert failed == {
        tmp_path / "bad": "no clips",
        tmp_path / "killed": "was ended by SIGKILL, possibly because memory ran out; see "
        f"{tmp_path / 'killed' / 'train.log'}",
    }
    assert (tmp_path / "last" / "train.log").read_text() == "a\n"


@pytest.mark.parametrize(
    ("visible", "expected"), [(None, ["0", "1"]), ("5,7,9", ["5", "7"]), ("GPU-ab, GPU-cd", None)]
)
def test_gpus_are_those_that_this_process_may_use(monkeypatch, visible, expected):
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    else:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = [each["CUDA_VISIBLE_DEVICES"] for each in launch.gpu_environments(2)]
    assert found == (expected or ["GPU-ab", "GPU-cd"])


def test_the_interpreter_is_this_one(tmp_path):
    launch.run_grid({tmp_path: ["-c", "import sys; print(sys.executable)"]}, [{}])
    assert Path((tmp_path / launch.LOG_NAME).read_text().strip()) == Path(sys.executable)
