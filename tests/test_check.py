"""`sedmtl check` distinguishes whole, damaged, outdated and unfinished, with remedies."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path

import h5py
import pytest
from conftest import Project, invoke, visible

pytestmark = pytest.mark.slow

RUN = "2apae_snr20_fold1_alpha0.001_seed0"
TRAIN = (
    "sedmtl train --data snr_20 --fold 1 --model 2apae --attention released "
    "--time-attention dense --reconstruction relu --width 2 --alpha 0.001 --epochs 3 "
    f"--batch-size 6 --lr 0.001 --seed 0 --precision float32 --name {RUN}"
)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the finished project that may be changed."""
    shutil.copytree(trained.folder, tmp_path / "project")
    return Project(tmp_path / "project")


def check(project):
    return invoke(["check", str(project.work)])


def remedies(project):
    """The shell command that repairs each path, by path."""
    lines = check(project).stdout.splitlines()
    said = {}
    for about, line in pairwise(lines):
        if line.lstrip().startswith("to do: "):
            said[about.split()[1].removesuffix(":")] = line.split("to do: ")[1]
    return said


def follow(project, remedy):
    """Run a remedy as a shell would."""
    for command in remedy.split(" && "):
        program, *arguments = shlex.split(command, comments=True)
        if program == "rm":
            (path,) = arguments
            Path(path).unlink()
        else:
            assert program == "sedmtl"
            result = project.run(*arguments)
            assert result.exit_code == 0, result.output


def contents(project):
    """The lines of a check that finds no problems."""
    result = check(project)
    assert result.exit_code == 0, result.output
    assert "to do" not in result.stdout
    return result.stdout


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def row_offset(path, array, row):
    with h5py.File(path, "r") as file:
        return file[array].id.get_chunk_info(row).byte_offset


def test_whole_results_are_listed_in_the_order_of_the_stages(trained):
    result = check(trained)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "whole       mixtures/snr_20.h5", "whole       features/snr_20.h5",
        f"whole       runs/{RUN}",
    ]  # fmt: skip
    assert "24 clips, content " in lines[0]
    assert lines[2].endswith("2apae, fold 1, 6 clips held out")


@pytest.mark.parametrize(
    ("store", "array", "command"),
    [
        ("mixtures/snr_20.h5", "waveform", "sedmtl mix --snr 20 --stems --wav 2"),
        ("mixtures/snr_20.h5", "stems", "sedmtl mix --snr 20 --stems --wav 2"),
        ("features/snr_20.h5", "logmel", "sedmtl features --snr 20"),
    ],
)
def test_a_flipped_bit_is_found_and_its_remedy_makes_the_same_again(
    copy, one_sentence, store, array, command
):
    whole, files = contents(copy), visible(copy.work)
    path = copy.work / store
    flip(path, row_offset(path, array, 11))
    result = check(copy)
    one_sentence(result, "1 damaged of 3")
    assert f"damaged     {store}: " in result.stdout
    assert "row 11, mix_12.wav, has changed since it was written" in result.stdout
    assert remedies(copy) == {store: f"rm {path} && {command}"}
    follow(copy, remedies(copy)[store])
    assert contents(copy) == whole
    assert visible(copy.work) == files


def test_mixtures_without_stems_and_wavs_are_remade_without_them(copy):
    path = copy.work / "mixtures" / "snr_20.h5"
    path.unlink()
    shutil.rmtree(path.with_suffix(""))
    assert copy.run("mix", "--snr", 20).exit_code == 0
    flip(path, row_offset(path, "waveform", 3))
    remedy = remedies(copy)["mixtures/snr_20.h5"]
    assert remedy == f"rm {path} && sedmtl mix --snr 20"
    follow(copy, remedy)
    with h5py.File(path) as file:
        assert "stems" not in file


def test_the_remedy_for_an_unreadable_store_says_what_is_unknown(copy):
    path = copy.work / "mixtures" / "snr_20.h5"
    os.truncate(path, 1000)
    remedy = remedies(copy)["mixtures/snr_20.h5"]
    assert remedy.endswith("  # and --stems, if it held them")
    follow(copy, remedy)
    assert not remedies(copy)  # without stems: features need only the waveforms


def test_damaged_features_whose_mixtures_are_gone_need_these_first(copy):
    whole = contents(copy)
    path = copy.work / "features" / "snr_20.h5"
    flip(path, row_offset(path, "logmel", 0))
    shutil.rmtree(copy.work / "mixtures")
    remedy = remedies(copy)["features/snr_20.h5"]
    assert remedy == f"rm {path} && sedmtl mix --snr 20 --stems && sedmtl features --snr 20"
    follow(copy, remedy)
    assert contents(copy) == whole


def test_a_remedy_can_be_pasted_whatever_the_folder_is_called(trained, tmp_path):
    copy = Project(shutil.copytree(trained.folder, tmp_path / "it's a; project"))
    whole = contents(copy)
    path = copy.work / "features" / "snr_20.h5"
    flip(path, row_offset(path, "logmel", 0))
    follow(copy, remedies(copy)["features/snr_20.h5"])
    assert contents(copy) == whole


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "scores.h5", "run.yaml"])
def test_a_cut_file_of_a_run_is_found_and_its_remedy_trains_it_again(copy, one_sentence, name):
    whole = contents(copy)
    path = copy.work / "runs" / RUN / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = check(copy)
    one_sentence(result, "1 damaged of 3")
    assert f"damaged     runs/{RUN}: " in result.stdout
    unread = f"sedmtl train … --name {RUN} --force"
    remedy = remedies(copy)[f"runs/{RUN}"]
    assert remedy == (unread if name == "run.yaml" else f"{TRAIN} --force")
    follow(copy, f"{TRAIN} --force")  # with the options that could not be read
    assert contents(copy) == whole


def test_a_damaged_state_of_an_unfinished_run_is_found(copy, one_sentence):
    whole = contents(copy)
    run = copy.work / "runs" / RUN
    (run / "model.safetensors").unlink()
    flip(run / "last.pt", (run / "last.pt").stat().st_size // 2)
    one_sentence(check(copy), "1 damaged of 3")
    remedy = remedies(copy)[f"runs/{RUN}"]
    assert remedy == f"{TRAIN} --force"
    follow(copy, remedy)
    assert contents(copy) == whole


@pytest.mark.parametrize("where", [0.3, 0.6, 0.95])
def test_a_flipped_bit_of_the_weights_is_found(copy, one_sentence, where):
    path = copy.work / "runs" / RUN / "model.safetensors"
    flip(path, int(where * path.stat().st_size))
    one_sentence(check(copy), "1 damaged of 3")


def test_new_mixtures_outdate_features_and_new_features_outdate_runs(copy, one_sentence):
    path = copy.folder / "data.yaml"
    path.write_text(path.read_text().replace("mixing:", "mixing:\n  seed: 5"))
    assert copy.run("mix", "--snr", 20).exit_code == 0
    result = check(copy)
    one_sentence(result, "1 outdated of 3")
    assert "outdated    features/snr_20.h5: made from other mixtures" in result.stdout
    follow(copy, remedies(copy)["features/snr_20.h5"])
    result = check(copy)
    one_sentence(result, "1 outdated of 3")
    assert f"outdated    runs/{RUN}: trained on other features" in result.stdout
    follow(copy, remedies(copy)[f"runs/{RUN}"])
    contents(copy)


def test_an_unfinished_run_on_features_that_have_changed_is_outdated(copy, one_sentence):
    path = copy.folder / "data.yaml"
    path.write_text(path.read_text().replace("mixing:", "mixing:\n  seed: 5"))
    (copy.work / "runs" / RUN / "model.safetensors").unlink()
    assert copy.run("mix", "--snr", 20).exit_code == 0
    assert copy.run("features").exit_code == 0
    one_sentence(check(copy), "1 outdated of 3")
    assert remedies(copy) == {f"runs/{RUN}": f"{TRAIN} --force"}  # it cannot be resumed


def test_mixtures_remade_from_the_same_audio_outdate_nothing(copy):
    """Their content is the same, although every file's time has changed."""
    for path in copy.folder.rglob("*.wav"):
        os.utime(path)
    result = copy.run("mix", "--snr", 20, "--stems")
    assert "was made with other settings or audio: rebuilding it" in result.stderr
    assert check(copy).exit_code == 0
    before = (copy.work / "features" / "snr_20.h5").stat().st_mtime_ns
    assert copy.run("features").exit_code == 0
    assert (copy.work / "features" / "snr_20.h5").stat().st_mtime_ns == before


def test_unfinished_results_are_no_problem(copy):
    run = copy.work / "runs" / RUN
    (run / "model.safetensors").unlink()
    (copy.work / "features" / ".snr_0.h5.part").write_bytes(b"")
    result = check(copy)
    assert result.exit_code == 0, result.output
    assert f"unfinished  runs/{RUN}: epoch 3 of 3" in result.stdout
    assert f"to do: {TRAIN} --resume" in result.stdout
    assert "unfinished  features/snr_0.h5: some of its rows" in result.stdout
    assert "to do: sedmtl mix --snr 0 && sedmtl features --snr 0" in result.stdout


def test_unfinished_mixtures_are_resumed_with_their_options(copy):
    whole = contents(copy)
    path = copy.work / "mixtures" / "snr_20.h5"
    path.rename(path.with_name(".snr_20.h5.part"))
    remedy = remedies(copy)["mixtures/snr_20.h5"]
    assert remedy == "sedmtl mix --snr 20 --stems --wav 2"
    follow(copy, remedy)
    assert contents(copy) == whole


BROKEN_RECORDS = [
    b"", b"\n", b"[1]", b"3", b"null", b'{"epoch": null}', b'{"epoch": "x"}', b'{"epoch": [1]}',
    b'{"epoch": NaN}', b'{"epoch": 1e999}', b'{"epoch": -2}', b'{"epoch"', b"{}", b"\xff\xfe",
    b"[" * 100_000, b'{"epoch": ' + b"9" * 5_000 + b"}",
]  # fmt: skip


def test_broken_records_are_not_epochs(copy):
    run = copy.work / "runs" / RUN
    (run / "model.safetensors").unlink()
    shutil.rmtree(copy.work / "mixtures")
    shutil.rmtree(copy.work / "features")
    for records in BROKEN_RECORDS:
        (run / "metrics.jsonl").write_bytes(records)
        result = check(copy)
        assert result.exit_code == 0, result.output
        assert f"unfinished  runs/{RUN}: epoch 0 of 3" in result.stdout, records[:20]


def test_a_missing_or_empty_folder_is_one_sentence(tmp_path, one_sentence):
    one_sentence(invoke(["check", str(tmp_path / "work")]), "no folder", "workdir of a data.yaml")
    one_sentence(invoke(["check", str(tmp_path)]), "neither stores nor runs", "sedmtl mix")


@pytest.mark.parametrize("stage", ["mixtures"])
def test_a_store_under_the_name_of_another_snr_is_outdated(copy, stage):
    folder = copy.work / stage
    (folder / "snr_20.h5").rename(folder / "snr_0.h5")
    result = check(copy)
    assert result.exit_code == 1
    assert "outdated    mixtures/snr_0.h5: holds mixtures at 20 dB" in result.stdout
    follow(copy, remedies(copy)["mixtures/snr_0.h5"])
    assert "mixtures/snr_0.h5" not in remedies(copy)


def test_a_run_without_its_run_yaml_is_damaged(copy):
    (copy.work / "runs" / RUN / "run.yaml").unlink()
    result = check(copy)
    assert result.exit_code == 1
    assert f"damaged     runs/{RUN}: " in result.stdout


@pytest.mark.parametrize(
    "name",
    ["features/snr_20.h5", *[f"runs/{{run}}/{name}" for name in (
        "run.yaml", "model.json", "scores.h5", "last.pt")]],
)  # fmt: skip
def test_temporarily_unreadable_files_are_not_called_damaged(trained, tmp_path, monkeypatch, name):
    """As with too many open files: retraining would discard a good run."""
    work = shutil.copytree(trained.work, tmp_path / "work")
    (run,) = (path.name for path in (work / "runs").iterdir())
    wanted = work / name.format(run=run)
    if wanted.name == "last.pt":
        (wanted.parent / "model.safetensors").unlink()
    real_open, real_hdf5 = os.open, h5py.File

    def refuse(path):
        if not isinstance(path, int) and Path(path) == wanted:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    def opened(path, *how, **more):
        refuse(path)
        return real_open(path, *how, **more)

    def hdf5(path, *how, **more):
        refuse(path)
        return real_hdf5(path, *how, **more)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(h5py, "File", hdf5)
    monkeypatch.setattr(zipfile, "ZipFile", lambda path: refuse(path))
    result = invoke(["check", str(work)])
    assert result.exit_code == 1
    assert "Too many open files" in result.stderr
    assert "damaged" not in result.output
