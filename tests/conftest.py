"""Shared fixtures: small audio projects that the tests generate."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer.testing
from typer.testing import CliRunner, Result

# What takes long to import is imported where it is used: xdist starts its workers only after its
# own process has read this file.
from sedmtl.cli.app import app

DATA_YAML = """\
corpus:
  events: {kind: folder, root: events}
  scenes: {kind: folder, root: scenes}
mixing:
  sample_rate: 8000
  duration_s: 2
  snrs_db: [0, 20]
  folds: 4
  mixtures_per_fold: 6
  event_s: 0.5
  onsets: [0.1, 0.7, 1.3]
features: {window: 256, hop: 128, n_mels: 16, f_min: 50, f_max: 4000}
"""
COARSE_YAML = DATA_YAML.replace("window: 256, hop: 128", "window: 512, hop: 512")
"""With a quarter of the frames, for tests that train a lot and do not check the scores."""


def pytest_configure() -> None:
    # Shells let background jobs ignore Ctrl-C; the tests' child processes must not inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Typer would rebuild all commands for each invocation: 10 ms.
    typer.testing._get_command = cache(typer.testing._get_command)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In `make quick`, do not even import files whose tests are all slow."""
    if config.option.markexpr != "not slow" or not collection_path.match("test_*.py"):
        return None
    is_slow = re.search(r"^pytestmark = .*pytest\.mark\.slow", collection_path.read_text(), re.M)
    return is_slow is not None or None


LONGEST = (
    "test_kills", "test_hostile", "test_export_encoder", "test_export", "test_launch",
    "test_distributed", "test_plots", "test_bench", "test_check", "test_visualize",
    "test_properties", "test_tensorboard", "test_heads", "test_train", "test_cheap_networks",
    "test_cluster", "test_cli", "test_mix", "test_irregular", "test_layers", "test_demo",
    "test_additions", "test_training", "test_forecast", "test_report", "test_guides",
    "test_workers", "test_from", "test_page_browser", "test_review_browser",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, so that no process waits for another's last one."""
    rank = {f"{name}.py": n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def write_tone(
    path: Path,
    hz: float,
    seconds: float,
    rate: int = 8000,
    channels: int = 1,
    subtype: str = "PCM_16",
) -> Path:
    """A decaying tone with a little noise."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(round(hz)).normal(scale=0.01, size=len(t))
    wave = 0.5 * np.exp(-t) * np.sin(2 * np.pi * hz * t) + noise
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.tile(wave[:, None], channels), rate, subtype=subtype)
    return path


def write_noise(path: Path, seed: int, seconds: float, rate: int = 8000) -> Path:
    """White noise."""
    wave = np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * rate))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate)
    return path


def write_project(folder: Path, data_yaml: str = DATA_YAML) -> Path:
    """Write events of three classes, scenes, and a data.yaml: a project that mixes quickly."""
    for hz in (300, 900, 2700):
        for n in range(8):
            write_tone(
                folder / "events" / f"tone_{hz}" / f"{n}.wav", hz * (1 + n / 50), 0.3 + 0.1 * n
            )
    for k in range(24):
        write_noise(folder / "scenes" / "noise" / f"{k:02d}.wav", k, 2.0)
    (folder / "data.yaml").write_text(data_yaml)
    return folder


def visible(folder: Path) -> set[str]:
    """Paths of the visible files below a folder, without locks and stamps."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@dataclass(frozen=True)
class Project:
    """A project folder, and the command line run in it."""

    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def run(self, command: str, *arguments: object) -> Result:
        config = ["--config", str(self.folder / "data.yaml")]
        return invoke([command, *map(str, arguments), *config])


class Hang(BaseException):
    """A timeout. Not an `Exception`, so that no handler mistakes it for an input error."""


@contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """Fail if the block takes more processor time, or twenty times as much elapsed time.

    Other processes may be using the processor: waiting for it is not a hang.
    """

    def alarm(*_: object) -> None:
        raise Hang

    signals = (signal.SIGPROF, signal.SIGALRM)
    timers = (signal.ITIMER_PROF, signal.ITIMER_REAL)
    old = [signal.signal(number, alarm) for number in signals]
    for timer, limit in zip(timers, (seconds, 20 * seconds), strict=True):
        signal.setitimer(timer, limit)
    try:
        yield
    except Hang:
        # Without the traceback: pytest cannot handle that of a deep recursion.
        pytest.fail(f"hangs: not done after {seconds} s", pytrace=False)
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in zip(signals, old, strict=True):
            signal.signal(number, handler)


def invoke(arguments: Sequence[str]) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project: nothing mixed yet."""
    return Project(write_project(tmp_path))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with mixtures, features and a trained network; read only."""
    made = Project(write_project(tmp_path_factory.mktemp("trained")))
    for arguments in (
        ("mix", "--snr", 20, "--stems", "--wav", 2),
        ("features",),
        ("train", "--fold", 1, "--width", 2, "--epochs", 3, "--batch-size", 6,
         "--precision", "float32"),
    ):  # fmt: skip
        result = made.run(*arguments)
        assert result.exit_code == 0, result.output
    return made


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save empty figures, in any format: drawing one takes most of a second."""
    from matplotlib.figure import Figure

    save = Figure.savefig

    def save_empty(_: Figure, *where: Any, **how: Any) -> None:
        save(Figure(figsize=(1, 1)), *where, **how)

    monkeypatch.setattr(Figure, "savefig", save_empty)


@pytest.fixture(scope="session", autouse=True)
def brief() -> Iterator[None]:
    """Trainings are not probed for long, however busy the machine: it would be half of most."""
    from sedmtl.training import cost

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "BRIEF_S", inf)
        yield


@pytest.fixture(scope="session")
def one_registry() -> Iterator[None]:
    """Reads the exporter's table of operators once: it takes 0.4 of the 2 s of each export."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry  # takes 0.8 s

    with pytest.MonkeyPatch.context() as patch:
        read_once = staticmethod(cache(ONNXRegistry.from_torchlib))
        patch.setattr(ONNXRegistry, "from_torchlib", read_once)
        yield


Expect = Callable[[Result, str], None]


@pytest.fixture(scope="session")
def one_sentence() -> Expect:
    """Assert that a command failed as for bad input: exit code 1, one sentence, no traceback."""

    def check(result: Result, *parts: str) -> None:
        assert result.exit_code == 1, result.output
        lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, result.output
        assert "Traceback" not in result.output
        assert "defect" not in result.output
        for part in parts:
            assert part in lines[0]

    return check


FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,1000",
)  # fmt: skip


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """A headless Chromium; tests that need one are skipped if there is none."""
    browser, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not chromedriver:
        pytest.skip("no chromium and chromedriver are installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield started
    started.quit()
