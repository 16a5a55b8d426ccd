"""`sedmtl separate`, and `sedmtl eval` with stems, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Project, write_project, write_tone

from sedmtl.inference.checkpoint import load_card
from sedmtl.inference.detector import Detector
from sedmtl.inference.separate import file_names

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

RUN = "2apae_snr20_fold1_alpha0.001_seed0"
CLASSES = ("tone_2700", "tone_300", "tone_900")


@pytest.fixture(scope="module")
def mixture_path(trained):
    return trained.work / "mixtures" / "snr_20" / "mix_01.wav"


@pytest.fixture
def separate(trained, tmp_path):
    """A function that separates into the test's folder."""
    return lambda path, *arguments: trained.run("separate", path, "--out", tmp_path, *arguments)


def samples_of(path):
    return soundfile.read(path, dtype="int16")[0].astype(int)


def test_the_files_sum_to_the_recording_sample_by_sample(separate, mixture_path, tmp_path):
    result = separate(mixture_path, "--classes", "tone_300,tone_900")
    assert result.exit_code == 0, result.output
    paths = sorted((tmp_path / "snr_20" / "mix_01").iterdir())
    assert [path.name for path in paths] == ["rest.wav", "tone_300.wav", "tone_900.wav"]
    total = sum(samples_of(path) for path in paths)
    np.testing.assert_array_equal(total, samples_of(mixture_path))
    assert all(samples_of(path).any() for path in paths)


def test_every_path_is_printed_with_the_score_of_its_class(
    separate, mixture_path, tmp_path, trained
):
    result = separate(mixture_path, *(f"--classes={label}" for label in CLASSES))
    first, *lines, last = result.stdout.splitlines()
    assert first == f"run {RUN}"
    assert last.strip() == str(tmp_path / "snr_20" / "mix_01" / "rest.wav")
    inspection = Detector.load(trained.work / "runs" / RUN).inspect(mixture_path)
    folder = tmp_path / "snr_20" / "mix_01"
    expected = [f"{score:6.3f}  {folder / label}.wav" for label, score in inspection.ranking()]
    assert lines == expected


def test_by_default_the_detected_classes_are_separated(trained, separate, mixture_path, tmp_path):
    assert separate(mixture_path).exit_code == 0
    run = trained.work / "runs" / RUN
    clip = Detector.load(run).inspect(mixture_path).clip
    heard = np.array(CLASSES)[clip > np.array(load_card(run).tag_threshold)]
    assert {path.stem for path in (tmp_path / "snr_20" / "mix_01").iterdir()} == {"rest", *heard}


def test_a_class_that_is_no_longer_separated_leaves_no_file(separate, mixture_path, tmp_path):
    separate(mixture_path, "--classes", "tone_300")
    separate(mixture_path, "--classes", "tone_900")
    assert {path.stem for path in (tmp_path / "snr_20" / "mix_01").iterdir()} == {
        "rest",
        "tone_900",
    }


def test_the_files_of_a_recording_of_many_windows_sum_to_it_too(separate, mixture_path, tmp_path):
    long = np.tile(samples_of(mixture_path), 4)[:61_234].astype(np.int16)
    soundfile.write(tmp_path / "long.wav", long, 8000)
    assert separate(tmp_path / "long.wav", "--classes", "tone_300").exit_code == 0
    parts = [samples_of(tmp_path / "long" / f"{name}.wav") for name in ("tone_300", "rest")]
    np.testing.assert_array_equal(sum(parts), long)
    assert all(parts[0][window : window + 8000].any() for window in range(0, 61_234, 8000))


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"), [(8000, 1, 7.3), (96_000, 6, 1.0), (44_100, 2, 2.5)]
)
def test_any_rate_channels_and_length_is_separated(separate, tmp_path, rate, channels, seconds):
    path = write_tone(tmp_path / "any.wav", 300, seconds, rate, channels)
    assert separate(path, "--classes", "tone_300").exit_code == 0
    for name in ("tone_300", "rest"):
        info = soundfile.info(tmp_path / "any" / f"{name}.wav")
        assert (info.samplerate, info.channels) == (rate, channels)
        assert info.frames == round(rate * seconds)
    parts = [samples_of(tmp_path / "any" / f"{name}.wav") for name in ("tone_300", "rest")]
    np.testing.assert_array_equal(sum(parts), samples_of(path))
    assert parts[0].any()


def test_a_clip_shorter_than_a_frame_is_separated(separate, tmp_path):
    path = write_tone(tmp_path / "short.wav", 300, 0.01)
    assert separate(path, "--classes", "tone_300").exit_code == 0
    parts = [samples_of(tmp_path / "short" / f"{name}.wav") for name in ("tone_300", "rest")]
    np.testing.assert_array_equal(sum(parts), samples_of(path))


def test_samples_beyond_full_scale_are_clipped_and_reported_if_parts_do_not_sum(
    separate, tmp_path, monkeypatch
):
    """A source that is the inverted recording leaves twice the recording as remainder."""
    monkeypatch.setattr(
        "sedmtl.inference.separation.Separator.separate",
        lambda *given: -given[1] * given[3][:, None, None],
    )
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([0.1, 0.9, -0.9, 1.5]), 8000, subtype="FLOAT")
    result = separate(path, "--classes", "tone_300")
    assert "warning: 3 samples of the recording or the rest exceed 16 bits" in result.stderr
    rest = samples_of(tmp_path / "loud" / "rest.wav")
    np.testing.assert_array_equal(rest, [round(0.1 * 2**15) * 2, 32767, -32768, 32767])


def test_a_clipped_recording_is_reported_even_if_it_is_all_in_the_remainder(
    separate, tmp_path, monkeypatch
):
    """For example, a file of integers written as floats."""
    monkeypatch.setattr("sedmtl.inference.separation.Separator.detected", lambda _, clip: clip > 1)
    path = tmp_path / "integers.wav"
    soundfile.write(path, np.array([3000.0, 0.5, -1.0, -2.0]), 8000, subtype="FLOAT")
    result = separate(path)
    assert "warning: 2 samples of the recording or the rest exceed 16" in result.stderr


def test_without_detections_the_remainder_is_the_recording(
    separate, mixture_path, tmp_path, monkeypatch
):
    monkeypatch.setattr("sedmtl.inference.separation.Separator.detected", lambda _, clip: clip > 1)
    result = separate(mixture_path)
    assert "no class was detected" in result.stderr
    rest = samples_of(tmp_path / "snr_20" / "mix_01" / "rest.wav")
    np.testing.assert_array_equal(rest, samples_of(mixture_path))


def test_bad_input_is_one_sentence(separate, mixture_path, tmp_path, one_sentence):
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    (tmp_path / "text.wav").write_text("no audio")
    one_sentence(separate(tmp_path / "silent.wav"), "silent.wav is silent", "to separate")
    one_sentence(separate(tmp_path / "text.wav"), "cannot read", "as audio")
    one_sentence(separate(tmp_path / "none.wav"), "no audio file")
    one_sentence(separate(mixture_path, "--classes", "tone_30"), "'tone_30'", "tone_300")
    one_sentence(separate(mixture_path, "--run", "nun"), "no run 'nun'")


def test_a_recording_is_never_overwritten(separate, tmp_path):
    path = write_tone(tmp_path / "tone_300" / "tone_300.wav", 300, 1)
    before = path.read_bytes()
    for _ in range(2):  # the second time replaces the first outputs
        result = separate(path, "--classes", "tone_300")
        assert result.stdout.split()[-1] == str(tmp_path / "tone_300-2" / "rest.wav")
    assert path.read_bytes() == before


def test_two_recordings_of_one_name_keep_their_sources(separate, tmp_path):
    first = write_tone(tmp_path / "a" / "clip.wav", 300, 1)
    second = write_tone(tmp_path / "b" / "clip.wav", 900, 1)
    separate(first, "--classes", "tone_300")
    separate(second, "--classes", "tone_900")
    written = sorted(path.parent.name + "/" + path.stem for path in tmp_path.glob("clip*/*.wav"))
    assert written == ["clip-2/rest", "clip-2/tone_900", "clip/rest", "clip/tone_300"]


@pytest.mark.parametrize("name", ["tone_300", "tone_900", "rest"])
def test_a_users_file_in_place_of_a_sound_stays(separate, tmp_path, name):
    path = write_tone(tmp_path / "clip.wav", 300, 1)
    assert separate(path, "--classes", "tone_300").exit_code == 0
    theirs = tmp_path / "clip" / f"{name}.wav"
    theirs.write_bytes(b"mine")
    (tmp_path / "rest.wav").write_bytes(b"mine")
    result = separate(path, "--classes", "tone_300")
    assert result.stdout.split()[-1] == str(tmp_path / "clip-2" / "rest.wav")
    assert theirs.read_bytes() == (tmp_path / "rest.wav").read_bytes() == b"mine"


def test_a_name_of_dots_leads_into_no_other_folder(separate, tmp_path):
    path = write_tone(tmp_path / "a.wav", 300, 1).rename(tmp_path / "...wav")
    result = separate(path, "--classes", "tone_300")
    assert result.stdout.split()[-1] == str(tmp_path / "_" / "rest.wav")


def test_a_failed_attempt_leaves_nothing(separate, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    separate(tmp_path / "silent.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["silent.wav"]


def test_names_of_files_are_fit_for_any_file_system():
    labels = ["rest", "Dog/bark", "dog:bark", "Glockenspiel (hoch)", "..", "Tür"]
    names = file_names(labels)
    assert names == ["rest_", "Dog_bark", "dog_bark_", "Glockenspiel (hoch)", "_", "Tür"]


# eval --denoise and --separation.


@pytest.fixture(scope="module")
def compared(trained, tmp_path_factory):
    """The trained project with a second run that has no decoder; read only."""
    folder = tmp_path_factory.mktemp("compared") / "project"
    shutil.copytree(trained.folder, folder)
    made = Project(folder)
    result = made.run("train", "--fold", 1, "--model", "gap", "--width", 2, "--epochs", 1)
    assert result.exit_code == 0, result.output
    return made


def rows_of(project, tmp_path, *arguments):
    result = project.run("eval", "--json", tmp_path / "rows.json", *arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    return {(row["model"], row["selection"]): row for row in rows}, result


def test_eval_measures_decoders_and_names_the_runs_without(compared, tmp_path):
    rows, result = rows_of(compared, tmp_path, "--denoise")
    distances = rows["2apae", "honest"]["denoising"]
    assert set(distances) == {"audible_db", "all_db", "audible_std", "all_std"}
    for each in distances.values():
        assert set(each) == {"noisy", "decoded", "mean", "decoded_to_noisy"}
        assert all(value > 0 for value in each.values())
    assert "denoising" not in rows["gap", "honest"]
    assert "denoising" not in rows["2apae", "paper"]
    assert "separation" not in rows["2apae", "honest"]
    assert "left out of --denoise: gap_snr20_fold1_alpha0_seed0 has no trained" in result.stderr
    assert "snr_20, fixed onsets, fold 1 (6 clips): does the decoder denoise?" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_eval_measures_masks(compared, tmp_path):
    rows, result = rows_of(compared, tmp_path, "--separation", "--per-class")
    for model in ("2apae", "gap"):
        separation = rows[model, "honest"]["separation"]
        assert separation["ideal"] > separation["times"] > 0
        assert separation["ideal"] > separation["told"]
        assert 0 <= separation["found"] <= 1
        assert set(separation["per_class"]["told"]) == set(CLASSES)
    # Figures that do not depend on the network are the same for both.
    for key in ("mixture", "times", "ideal"):
        assert len({rows[model, "honest"]["separation"][key] for model in ("2apae", "gap")}) == 1
    assert "snr_20, fixed onsets, fold 1 (6 clips): source separation" in result.stdout
    shown = " ".join(result.stdout.split())
    assert "gap/2, snr_20, fixed onsets, fold 1 (6 clips): source separation" in shown
    assert "ideal ratio mask" in (compared.work / "eval" / "eval.md").read_text()


def test_folds_are_averaged(compared, tmp_path):
    result = compared.run("train", "--fold", 2, "--model", "gap", "--width", 2, "--epochs", 1)
    (folder,) = result.stdout.split()
    runs = ("gap_snr20_fold1_alpha0_seed0", folder)
    each = [rows_of(compared, tmp_path, run, "--separation")[0]["gap", "honest"] for run in runs]
    both = rows_of(compared, tmp_path, *runs, "--separation")[0]["gap", "honest"]
    shutil.rmtree(folder)
    assert both["folds"] == [1, 2]
    for key in ("mixture", "told", "ideal", "found"):
        expected = np.mean([row["separation"][key] for row in each])
        assert both["separation"][key] == pytest.approx(expected)


def test_another_store_is_measured_on_its_own_stems(compared, tmp_path):
    """The same plan at another SNR: noisier mixtures are further from the clean events."""
    other = Project(write_project(tmp_path))
    other.run("mix", "--snr", 0, "--stems")
    other.run("features")
    store = other.work / "features" / "snr_0.h5"
    here, _ = rows_of(compared, tmp_path, RUN, "--denoise")
    there, _ = rows_of(compared, tmp_path, RUN, "--denoise", "--on", store)
    quiet, noisy = (rows["2apae", "honest"]["denoising"]["audible_db"] for rows in (here, there))
    assert noisy["noisy"] > quiet["noisy"] + 5


def test_without_a_decoder_there_is_nothing_to_denoise(compared, one_sentence):
    result = compared.run("eval", "gap_snr20_fold1_alpha0_seed0", "--denoise")
    one_sentence(result, "nothing to measure with --denoise", "no trained decoder", "--alpha")


def test_without_stems_the_command_to_make_them_is_named(compared, tmp_path, one_sentence):
    project = Project(tmp_path / "plain")
    shutil.copytree(compared.folder, project.folder)
    project.run("mix", "--snr", 20)
    for option in ("--denoise", "--separation"):
        one_sentence(project.run("eval", RUN, option), "'stems'", "sedmtl mix --stems")
    shutil.rmtree(project.work / "mixtures")
    one_sentence(project.run("eval", RUN, "--separation"), "no store", "sedmtl mix --stems")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is made of /dev/full")
def test_a_full_disk_is_one_sentence_that_names_the_folder(
    separate, mixture_path, tmp_path, monkeypatch, one_sentence
):
    full = lambda dir: open("/dev/full", "r+b")  # noqa: E731, SIM115, PTH123, ARG005
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    one_sentence(separate(mixture_path), f"cannot write into {tmp_path}", "No space left")
