"""Links, hard links and pipes in place of our files: their targets are not touched.

Nor does a command wait for them. The work folder and the corpora may be links.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from conftest import Project, in_time
from filelock import lock_descriptor

from sedmtl.runtime import atomic

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

HANGS_S = 60
RUN = "runs/2apae_snr20_fold1_alpha0.001_seed0"
SHORT = ("--fold", 1, "--width", 2, "--epochs", 1, "--batch-size", 24, "--precision", "float32")
MIX = ("mix", "--snr", 0)
FEATURES = ("features", "--snr", 20)
TRAIN = ("train", *SHORT, "--name", "new")
LONGER = ("train", *SHORT, "--epochs", 4, "--batch-size", 6, "--resume")
PREDICT = ("predict", "clip.wav", "--tags", "--format", "csv")
REMIX = ("train", *SHORT, "--name", "new", "--remix")


@pytest.fixture
def project(trained, tmp_path, monkeypatch) -> Project:
    """A copy of the trained project, as current folder."""
    folder = tmp_path / "project"
    shutil.copytree(trained.folder, folder)
    shutil.copy(folder / "scenes" / "noise" / "00.wav", folder / "clip.wav")
    monkeypatch.chdir(folder)
    return Project(folder)


def plant(kind: str, path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(target)
    elif kind == "dangling link":
        path.symlink_to(target.with_name("nothing"))
    elif kind == "second name":
        path.hardlink_to(target)
    else:
        os.mkfifo(path)


IN_PLACE = (
    (MIX, "mixtures/.sedmtl.lock"),
    (MIX, "mixtures/.snr_0.h5.part"),
    (MIX, "mixtures/.plan.yaml.part"),
    (FEATURES, "features/.sedmtl.lock"),
    (TRAIN, "runs/new/.sedmtl.lock"),
    (TRAIN, "runs/new/.metrics.jsonl.part"),
    (REMIX, "sources/.sedmtl.lock"),
    (REMIX, "sources/.audio.int16.part"),
    (("eval",), "eval/.eval.json.part"),
    (("eval",), "eval/.sedmtl.files"),
    (("eval",), f"{RUN}/.localisation.json.part"),
    (PREDICT, "predictions/.sedmtl.lock"),
    (PREDICT, "predictions/journal.jsonl"),
    (PREDICT, "predictions/.events.tsv.part"),
)
"""Commands, and the files that they write in place."""

REPLACED = (
    (MIX, "mixtures/plan.yaml"),
    (MIX, "mixtures/plan.tsv"),
    (MIX, "mixtures/snr_0.h5"),
    (MIX, "mixtures/.snr_0.h5.origin"),
    (TRAIN, "runs/new/run.yaml"),
    (TRAIN, "runs/new/metrics.jsonl"),
    (REMIX, "sources/audio.int16"),
    (("eval",), f"{RUN}/localisation.json"),
    (("eval",), "eval/eval.json"),
    (("report",), "report.html"),
    (PREDICT, "predictions/events.tsv"),
    (PREDICT, "predictions/tags.tsv"),
    (PREDICT, "predictions/clip.wav.csv"),
)
"""Commands, and the files that they rename into place when complete."""


@pytest.mark.parametrize(
    ("command", "name", "kind"),
    [
        *((*case, kind) for case in IN_PLACE for kind in ("link", "second name")),
        *((*case, "link") for case in REPLACED),
        (MIX, "mixtures/.snr_0.h5.part", "dangling link"),
        (PREDICT, "predictions/journal.jsonl", "dangling link"),
        (("eval",), f"{RUN}/localisation.json", "dangling link"),
    ],
)
def test_nothing_is_written_through(project, tmp_path, command, name, kind, one_sentence):
    target = tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    target.write_bytes(b"mine")
    path = project.work / name
    plant(kind, path, target)
    with in_time(HANGS_S):
        result = project.run(*command)
    assert [each.name for each in target.parent.iterdir()] == ["target"]
    assert target.read_bytes() == b"mine"
    one_sentence(result, path.name.removeprefix(".").removesuffix(".part"))


READ = (
    (("eval",), "../data.yaml"),
    (MIX, "mixtures/.snr_0.h5.origin"),
    (FEATURES, "mixtures/snr_20.h5"),
    (TRAIN, "features/snr_20.h5"),
    (LONGER, f"{RUN}/run.yaml"),
    (LONGER, f"{RUN}/last.pt"),
    (("eval",), f"{RUN}/run.yaml"),
    (("eval",), f"{RUN}/model.json"),
    (("eval",), f"{RUN}/scores.h5"),
)


@pytest.mark.parametrize(("command", "name"), [*IN_PLACE, *READ, (MIX, "mixtures/plan.yaml")])
def test_a_pipe_is_named_and_not_waited_for(project, command, name, one_sentence):
    path = project.work / name
    plant("pipe", path, path)
    with in_time(HANGS_S):
        result = project.run(*command)
    one_sentence(result, path.name.removeprefix(".").removesuffix(".part"))
    assert path.is_fifo()


def test_records_of_a_run_that_are_a_pipe_are_left_out_of_the_report(project):
    plant("pipe", project.work / RUN / "metrics.jsonl", project.work)
    with in_time(HANGS_S):
        assert project.run("report").exit_code == 0


@pytest.mark.parametrize("name", ["weak.csv", "strong.tsv"])
def test_a_table_that_is_a_pipe_is_named(project, name, one_sentence):
    (project.folder / "weak.csv").write_text("filename,labels\ntone_300/0.wav,a\n")
    (project.folder / "data.yaml").write_text(
        "workdir: other\ncorpus: {clips: {csv: weak.csv, strong: strong.tsv, root: events}}\n"
        "mixing: {sample_rate: 8000, duration_s: 1, folds: 2}\n"
    )
    plant("pipe", project.folder / name, project.folder)
    with in_time(HANGS_S):
        one_sentence(project.run("features"), name, "expected a file, found a pipe")


@pytest.mark.parametrize(
    ("command", "name"),
    [(("eval",), "eval/.eval.json.part"), (("eval",), "eval/.eval.md.part")],
)
def test_a_lock_that_is_not_released_is_named(project, command, name, one_sentence, monkeypatch):
    monkeypatch.setattr(atomic, "PATIENCE_S", 0.1)
    path = project.work / name
    path.parent.mkdir()
    with path.open("ab") as held:
        lock_descriptor(held.fileno())
        with in_time(HANGS_S):
            result = project.run(*command)
    one_sentence(result, name.rpartition(".")[0].rpartition("/.")[2], "another process holds")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("mix", "--snr", 20), "mixtures/snr_20.h5"),
        (FEATURES, "features/snr_20.h5"),
        (TRAIN, "features/snr_20.h5"),
        (("eval",), f"{RUN}/scores.h5"),
    ],
)
def test_a_store_that_another_process_has_locked_is_not_called_damaged(
    project, command, name, one_sentence
):
    before = (project.work / name).read_bytes()
    with (project.work / name).open("rb") as held:
        lock_descriptor(held.fileno())
        with in_time(HANGS_S):
            one_sentence(project.run(*command), Path(name).name, "another process is writing it")
    assert (project.work / name).read_bytes() == before


@pytest.mark.parametrize(
    ("command", "name"), [(MIX, "mixtures/snr_0.h5"), (FEATURES, "features/snr_20.h5")]
)
def test_a_file_of_the_user_in_place_of_a_store_stays(project, command, name, one_sentence):
    (project.work / name).write_text("mine")
    one_sentence(project.run(*command), Path(name).name, "was not written by sedmtl")
    assert (project.work / name).read_text() == "mine"


def test_the_work_folder_its_folders_and_corpora_may_be_links(project, tmp_path):
    for name in ("events", "scenes"):
        (tmp_path / name).symlink_to((project.folder / name).rename(tmp_path / f"real {name}"))
    config = project.folder / "data.yaml"
    config.write_text(config.read_text().replace("root: ", "root: ../"))
    real = project.work.rename(tmp_path / "real work")
    project.work.symlink_to(real)
    (real / "runs").rename(tmp_path / "runs")
    (real / "runs").symlink_to(tmp_path / "runs")
    (real / "snr.h5").hardlink_to(real / "features" / "snr_20.h5")  # stores may have hard links
    for command in (MIX, FEATURES, TRAIN, ("eval",), PREDICT):
        result = project.run(*command)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "runs" / "new" / "model.safetensors").is_file()
