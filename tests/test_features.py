"""`sedmtl features` on mixtures, through the command line."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
import yaml
from conftest import Project, visible, write_project
from scipy import signal

from sedmtl.features import extraction as features_stage
from sedmtl.logmel import LogMel
from sedmtl.store import Store

N_CLIPS, N_FRAMES, N_MELS = 24, 1 + (16_000 - 256) // 128, 16
SETTINGS = {"window": 256, "hop": 128, "n_mels": 16, "f_min": 50.0, "f_max": 4_000.0}


def configure(project, section, **settings):
    path = project.folder / "data.yaml"
    data = yaml.safe_load(path.read_text())
    data[section].update(settings)
    path.write_text(yaml.safe_dump(data))


def run(project, command, *arguments):
    result = project.run(command, *arguments)
    assert result.exit_code == 0, result.output
    return result


def feature_path(project, snr_db=20):
    return project.work / "features" / f"snr_{snr_db}.h5"


def open_mixtures(project):
    return Store(project.work / "mixtures" / "snr_20.h5", "waveform")


def open_features(project):
    return Store(feature_path(project), "logmel")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A project with mixtures and features."""
    made = Project(write_project(tmp_path_factory.mktemp("features")))
    run(made, "mix")
    run(made, "features")
    return made


@pytest.fixture
def made(template, tmp_path):
    """A copy of the template that may be changed."""
    return Project(shutil.copytree(template.folder, tmp_path / "copy"))


def test_mixtures_under_the_name_of_another_snr_are_refused(made, one_sentence):
    folder = made.work / "mixtures"
    (folder / "snr_20.h5").replace(folder / "snr_0.h5")
    one_sentence(made.run("features"), "snr_0.h5 holds mixtures at 20 dB", "sedmtl mix")


def test_there_is_a_feature_store_for_each_mixture_store(template):
    assert visible(template.work / "features") == {"snr_0.h5", "snr_20.h5"}


def test_the_log_mel_is_scipys_of_the_stored_mixture(template):
    with open_mixtures(template) as mixtures, open_features(template) as features:
        assert len(features) == N_CLIPS
        assert features.row_shape == (N_FRAMES, N_MELS)
        waveforms = mixtures.read(range(N_CLIPS)) / 32_767
        logmel = features.read(range(N_CLIPS))
    assert logmel.dtype == np.float32
    taper = signal.windows.hamming(256, sym=True)
    frames = np.lib.stride_tricks.sliding_window_view(waveforms, 256, axis=1)[:, ::128]
    magnitude = np.abs(np.fft.rfft(frames * taper)) / np.sqrt(np.sum(taper**2))
    filters = LogMel(8_000, **SETTINGS).filters.numpy()
    expected = np.log(magnitude @ filters + 1e-8)
    np.testing.assert_allclose(logmel, expected, rtol=0, atol=1e-3)
    # Amplitude is value / 32767: with 32768 the median would be off by 3e-5.
    assert abs(np.median(logmel - expected)) < 3e-6


def test_facts_about_the_clips_are_passed_on(template):
    with open_mixtures(template) as mixtures, open_features(template) as features:
        assert features.classes == mixtures.classes
        before, after = mixtures.clips, features.clips
    assert (after.name, after.scene) == (before.name, before.scene)
    assert np.array_equal(after.target, before.target)
    assert np.array_equal(after.fold, before.fold)
    for column in ("mixture", "label", "onset_s", "offset_s", "snr_db", "source"):
        assert np.array_equal(getattr(after.events, column), getattr(before.events, column))


def test_the_store_says_how_it_was_made(template):
    with open_mixtures(template) as mixtures, open_features(template) as features:
        assert {key: features.attributes[key] for key in SETTINGS} == SETTINGS
        assert features.attributes["sample_rate"] == 8_000
        assert features.attributes["config"] == mixtures.attributes["config"]


def test_bytes_follow_from_the_mixtures_whatever_the_folder_and_the_workers(template, tmp_path):
    for workers in (1, 3):
        project = Project(write_project(tmp_path / str(workers)))
        run(project, "mix", "--workers", workers)
        run(project, "features", "--workers", workers)
        for snr_db in (0, 20):
            assert (
                feature_path(project, snr_db).read_bytes()
                == feature_path(template, snr_db).read_bytes()
            )


def test_only_the_named_store_is_made(made):
    shutil.rmtree(made.work / "features")
    result = run(made, "features", "--snr", 20)
    assert result.stdout.split() == [str(feature_path(made))]
    assert visible(made.work / "features") == {"snr_20.h5"}


def test_a_second_run_does_nothing(made, monkeypatch):
    before = feature_path(made).stat().st_mtime_ns

    def never(*_, **__):
        raise AssertionError("a feature was made again")

    monkeypatch.setattr(features_stage, "features_of", never)
    run(made, "features")
    assert feature_path(made).stat().st_mtime_ns == before


def test_changed_mixtures_are_detected(made, tmp_path):
    configure(made, "mixing", seed=1)
    before = feature_path(made).read_bytes()
    run(made, "mix")
    run(made, "features")
    assert feature_path(made).read_bytes() != before
    fresh = Project(write_project(tmp_path / "fresh"))
    configure(fresh, "mixing", seed=1)
    run(fresh, "mix")
    run(fresh, "features")
    assert feature_path(made).read_bytes() == feature_path(fresh).read_bytes()


@pytest.mark.parametrize(
    ("change", "shape"),
    [({"n_mels": 8}, (N_FRAMES, 8)), ({"hop": 256}, (62, 16)), ({"f_max": 3_000}, (N_FRAMES, 16))],
)
def test_changed_settings_rebuild_the_features(made, change, shape):
    before = feature_path(made).read_bytes()
    configure(made, "features", **change)
    run(made, "features")
    assert feature_path(made).read_bytes() != before
    with open_features(made) as features:
        assert features.row_shape == shape


def test_interrupted_features_resume(made, monkeypatch):
    whole = feature_path(made).read_bytes()
    shutil.rmtree(made.work / "features")
    rows_made, make = [], features_stage.features_of

    def stop_at_the_third(rows, **settings):
        if len(rows_made) == 16:
            raise KeyboardInterrupt
        rows_made.extend(rows)
        return make(rows, **settings)

    monkeypatch.setattr(features_stage, "features_of", stop_at_the_third)
    assert made.run("features", "--snr", 20, "--workers", 1).exit_code == 130
    assert not feature_path(made).exists()
    rows_made.clear()

    def count(rows, **settings):
        rows_made.extend(rows)
        return make(rows, **settings)

    monkeypatch.setattr(features_stage, "features_of", count)
    run(made, "features", "--snr", 20)
    assert rows_made == list(range(16, 24))
    assert feature_path(made).read_bytes() == whole


def test_features_that_another_process_has_just_made_are_left_alone(made, monkeypatch):
    """They appear before the folder is locked, and are used from then on."""
    aside = (made.work / "features").rename(made.work / "aside")
    before = (aside / "snr_20.h5").stat().st_mtime_ns
    lock = features_stage.folder_lock

    def lock_late(folder, command):
        aside.rename(folder)
        return lock(folder, command)

    monkeypatch.setattr(features_stage, "folder_lock", lock_late)
    result = run(made, "features", "--snr", 20)
    assert "rebuilding it" not in result.stderr
    assert feature_path(made).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            {"sample_rate": 16_000},
            ("made with sample_rate 8000", "data.yaml has 16000", "run 'sedmtl mix' again"),
        ),
        ({"duration_s": 4}, ("made with duration_s 2.0", "data.yaml has 4.0")),
        ({"seed": 5}, ("made with seed 0", "data.yaml has 5")),
        ({"onsets": "random"}, ("made with onsets [0.1, 0.7, 1.3]", "data.yaml has random")),
    ],
)
def test_mixtures_of_other_settings_are_refused(made, one_sentence, change, parts):
    configure(made, "mixing", **change)
    before = feature_path(made).read_bytes()
    one_sentence(made.run("features"), "mixtures/snr_0.h5", *parts)
    assert feature_path(made).read_bytes() == before


def test_an_snr_that_was_not_mixed_is_named_with_those_that_were(made, one_sentence):
    result = made.run("features", "--snr", 21)
    one_sentence(result, "no store 'snr_21'", "mixtures", "Known here: snr_0, snr_20")


def test_without_mixtures_and_clips_features_is_one_sentence(project, one_sentence):
    one_sentence(project.run("features"), "no store in", "sedmtl mix", "corpus.clips")
    one_sentence(project.run("features", "--snr", 20), "no store in", "sedmtl mix")


def test_more_mel_bins_than_the_window_resolves_are_refused(made, one_sentence):
    configure(made, "features", n_mels=512)
    one_sentence(made.run("features"), "features.n_mels: 512", "take fewer bins")


@pytest.mark.parametrize("damage", ["schema", "text", "truncated"])
def test_mixtures_that_are_not_a_store_are_refused(made, one_sentence, damage):
    path = made.work / "mixtures" / "snr_20.h5"
    if damage == "text":
        path.write_text("no store")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:200_000])
    else:
        with h5py.File(path, "r+") as file:
            file.attrs["schema"] = 99
    one_sentence(made.run("features", "--snr", 20), "snr_20.h5", "it with 'sedmtl mix'")


def test_a_setting_without_effect_on_the_mixtures_is_recorded(made):
    """Nothing is rebuilt or refused: `overlap` with fixed onsets that lie apart."""
    configure(made, "mixing", overlap=True)
    before = feature_path(made).stat().st_mtime_ns
    assert "made with overlap False" in made.run("features").stderr
    for command in ("mix", "features"):
        run(made, command)
    assert feature_path(made).stat().st_mtime_ns == before
