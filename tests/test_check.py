"""`sedmtl check` tells whole from damaged, outdated and unfinished, and what to do."""

from __future__ import annotations

import os
import shutil

import h5py
import pytest
from conftest import Project, invoke

RUN = "2apae_snr20_fold1_alpha0.001_seed0"


@pytest.fixture
def copy(trained, tmp_path):
    """A project of one's own, all of it finished."""
    shutil.copytree(trained.folder, tmp_path / "project")
    return Project(tmp_path / "project")


def check(project):
    return invoke(["check", str(project.work)])


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def row_offset(path, array, row):
    with h5py.File(path, "r") as file:
        return file[array].id.get_chunk_info(row).byte_offset


def test_what_is_whole_is_listed_in_the_order_of_the_stages(trained):
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
    ("store", "array", "remedy"),
    [
        ("mixtures/snr_20.h5", "waveform", "sedmtl mix --snr 20"),
        ("mixtures/snr_20.h5", "stems", "sedmtl mix --snr 20"),
        ("features/snr_20.h5", "logmel", "sedmtl features --snr 20"),
    ],
)
def test_a_flipped_bit_is_found_and_its_remedy_named(copy, one_sentence, store, array, remedy):
    path = copy.work / store
    flip(path, row_offset(path, array, 11))
    result = check(copy)
    one_sentence(result, "1 damaged of 3")
    assert f"damaged     {store}: " in result.stdout
    assert "row 11, mix_12.wav, is not what was written" in result.stdout
    assert f"to do: {remedy}\n" in result.stdout


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "scores.h5", "run.yaml"])
def test_a_cut_file_of_a_run_is_found(copy, one_sentence, name):
    path = copy.work / "runs" / RUN / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = check(copy)
    one_sentence(result, "1 damaged of 3")
    assert f"damaged     runs/{RUN}: " in result.stdout
    assert "to do: sedmtl train … --force" in result.stdout


@pytest.mark.parametrize("where", [0.3, 0.6, 0.95])
def test_a_flipped_bit_of_the_weights_is_found(copy, one_sentence, where):
    path = copy.work / "runs" / RUN / "model.safetensors"
    flip(path, int(where * path.stat().st_size))
    one_sentence(check(copy), "1 damaged of 3")


def test_mixtures_made_anew_outdate_features_and_features_made_anew_the_runs(copy, one_sentence):
    path = copy.folder / "data.yaml"
    path.write_text(path.read_text().replace("mixing:", "mixing:\n  seed: 5"))
    assert copy.run("mix", "--snr", 20).exit_code == 0
    result = check(copy)
    one_sentence(result, "1 outdated of 3")
    assert "outdated    features/snr_20.h5: made from other mixtures" in result.stdout
    assert "to do: sedmtl features --snr 20" in result.stdout
    assert copy.run("features").exit_code == 0
    result = check(copy)
    one_sentence(result, "1 outdated of 3")
    assert f"outdated    runs/{RUN}: trained on other features" in result.stdout


def test_mixtures_made_anew_from_the_same_audio_outdate_nothing(copy):
    """Their content is the same, although every file has another time."""
    for path in copy.folder.rglob("*.wav"):
        os.utime(path)
    result = copy.run("mix", "--snr", 20, "--stems")
    assert "is of other settings or other audio: it is made anew" in result.stderr
    assert check(copy).exit_code == 0
    before = (copy.work / "features" / "snr_20.h5").stat().st_mtime_ns
    assert copy.run("features").exit_code == 0
    assert (copy.work / "features" / "snr_20.h5").stat().st_mtime_ns == before


def test_what_is_unfinished_is_no_complaint(copy):
    run = copy.work / "runs" / RUN
    (run / "model.safetensors").unlink()
    (copy.work / "features" / ".snr_0.h5.part").write_bytes(b"")
    result = check(copy)
    assert result.exit_code == 0, result.output
    assert f"unfinished  runs/{RUN}: epoch 3 of 3" in result.stdout
    assert "to do: sedmtl train … --resume" in result.stdout
    assert "unfinished  features/snr_0.h5: some of its rows" in result.stdout
    assert "to do: sedmtl features --snr 0" in result.stdout


def test_a_folder_that_is_none_or_has_nothing_is_one_sentence(tmp_path, one_sentence):
    one_sentence(invoke(["check", str(tmp_path / "work")]), "no folder", "work_dir of a data.yaml")
    one_sentence(invoke(["check", str(tmp_path)]), "neither stores nor runs", "sedmtl mix")
