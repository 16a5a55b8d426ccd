"""Targets of tasks: stored by `features`, or made while remixing."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import Project, write_project

from sedmtl.features.mixtures import MixtureReader, open_mixtures
from sedmtl.features.targets import CLASS_MELS, CLEAN, TARGETS, Placed, make_targets
from sedmtl.logmel import FLOOR, LogMel
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store

RATE, N_SAMPLES, N_CLIPS = 8000, 16_000, 24


@pytest.fixture(scope="module")
def front_end():
    return LogMel(RATE, window=256, hop=128, n_mels=16, f_min=50, f_max=4000)


@pytest.fixture(scope="module")
def stored(trained):
    """The project's features with targets, and the mixtures that they are computed from."""
    with (
        Store(trained.work / "features" / "snr_20.h5", "logmel", *TARGETS) as features,
        Store(trained.work / "mixtures" / "snr_20.h5", "waveform", "stems") as mixtures,
    ):
        yield features, mixtures


def sound(n_samples, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=n_samples)).float() / 10


def in_place(events, label=None):
    whole = torch.zeros(N_SAMPLES)
    for event in events:
        if label in (None, event.label):
            n = len(event.samples)
            whole[event.onset : event.onset + n] += event.samples[: N_SAMPLES - event.onset]
    return whole


# Overlapping, the same class twice, at both ends, and one beyond the end.
EVENTS = [
    Placed(4, 0, sound(3000, 0)),
    Placed(1, 2000, sound(2500, 1)),
    Placed(4, 9001, sound(40, 2)),
    Placed(2, 15_900, sound(4000, 3)),
]


def test_targets_are_the_log_mels_of_the_sounds_in_place(front_end):
    made = make_targets(TARGETS, EVENTS, N_SAMPLES, 4, front_end)
    expected = front_end(in_place(EVENTS)[None])[0]
    torch.testing.assert_close(made[CLEAN], expected, rtol=0, atol=1e-4)
    for slot, label in enumerate((1, 2, 4)):  # in the order of the classes
        expected = front_end.mel(in_place(EVENTS, label)[None])[0]
        torch.testing.assert_close(made[CLASS_MELS][slot].float(), expected, rtol=1e-3, atol=1e-6)
    assert not made[CLASS_MELS][3].any()


@pytest.mark.parametrize("events", [[], [Placed(0, 5000, torch.zeros(100))]])
def test_silent_events_have_the_log_mel_of_silence(front_end, events):
    made = make_targets(TARGETS, events, N_SAMPLES, 2, front_end)
    np.testing.assert_allclose(made[CLEAN].numpy(), np.log(FLOOR), rtol=1e-6)
    assert not made[CLASS_MELS].any()


def test_a_hop_longer_than_the_window_leaves_out_sound_between_frames():
    apart = LogMel(RATE, window=256, hop=400, n_mels=16, f_min=50, f_max=4000)
    events = [Placed(0, 300, sound(50, 0)), Placed(1, 700, sound(900, 1))]
    made = make_targets((CLASS_MELS,), events, N_SAMPLES, 2, apart)[CLASS_MELS].float()
    assert not made[0].any()  # between the first frame and the second
    expected = apart.mel(in_place(events, 1)[None])[0]
    torch.testing.assert_close(made[1], expected, rtol=1e-3, atol=1e-6)


def test_the_stored_clean_log_mel_is_that_of_the_events_stem(stored, front_end):
    features, mixtures = stored
    rows = range(N_CLIPS)
    events = torch.from_numpy(mixtures.read_audio(rows, "stems")[:, 0])
    clean = torch.from_numpy(features.read(rows, CLEAN))
    # Magnitudes: each event was rounded to 16 bits separately.
    torch.testing.assert_close(clean.exp(), front_end(events).exp(), rtol=0.02, atol=1e-4)


def test_the_stored_classes_are_those_of_the_target_and_sum_to_the_events(stored):
    features, _ = stored
    mels = features.read(range(N_CLIPS), CLASS_MELS).astype(np.float32)
    sounding = mels.any(axis=(2, 3))
    assert mels.shape[1] == 3
    np.testing.assert_array_equal(sounding.sum(axis=1), features.clips.target.sum(axis=1))
    assert (np.diff(sounding.astype(int)) <= 0).all()  # rows are filled from the first on
    # No two events overlap, but neighbours may share a frame.
    clean = np.exp(features.read(range(N_CLIPS), CLEAN))
    difference = np.abs(mels.sum(axis=1) - clean).max(axis=(1, 2))
    assert (difference < 0.05 * clean.max(axis=(1, 2))).all()


def test_without_stems_features_have_no_targets_and_the_same_log_mel(
    trained, tmp_path, one_sentence
):
    project = Project(write_project(tmp_path))
    for arguments in (("mix", "--snr", 20), ("features",)):
        assert project.run(*arguments).exit_code == 0
    path = project.work / "features" / "snr_20.h5"
    with (
        Store(path, "logmel") as features,
        Store(trained.work / "features" / "snr_20.h5", "logmel") as with_targets,
    ):
        assert features.arrays == ("logmel",)
        assert features.data_hash("logmel") == with_targets.data_hash("logmel")
        assert features.attributes["source"] == with_targets.attributes["source"]
    with pytest.raises(SedmtlError, match="sedmtl mix --stems' and 'sedmtl features"):
        Store(path, "logmel", CLEAN)
    for task in ("separate", "denoise"):
        result = project.run("train", "--fold", 1, "--model", "pooled", "--task", task)
        one_sentence(result, f"--task {task} needs stems, which", "snr_20.h5", "add --remix")


def test_targets_are_announced_with_their_bytes_and_the_same_on_any_number_of_workers(tmp_path):
    made = []
    for workers in (1, 3):
        project = Project(write_project(tmp_path / str(workers)))
        assert project.run("mix", "--snr", 20, "--stems").exit_code == 0
        result = project.run("features", "--workers", workers)
        assert "log-mel, also of events and classes alone, of 24 clips" in result.stderr
        made.append((project.work / "features" / "snr_20.h5").read_bytes())
    assert made[0] == made[1]


def test_a_worker_refuses_a_store_with_other_events(trained, tmp_path):
    path = Path(shutil.copy(trained.work / "mixtures" / "snr_20.h5", tmp_path))
    with open_mixtures(path) as store:
        reader = MixtureReader(store, apart=True)
    with h5py.File(path, "r+") as file:
        file["sha256/event_stems"][0, 0] ^= 1
    with pytest.raises(SedmtlError, match="a worker finds another store"):
        reader.events(range(1))
