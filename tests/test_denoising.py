from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sedmtl.evaluation.denoising import Denoising, Distances, Spectrograms, compare, measure
from sedmtl.evaluation.stems import Stems, read_fold
from sedmtl.inference.checkpoint import load_card, load_model
from sedmtl.inference.detector import Detector
from sedmtl.metrics.spectral import DB
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import FULL_SCALE, Store, read_scores

RUN = "2apae_snr20_fold1_alpha0.001_seed0"
AUDIBLE_STD, ALL_STD = 2, 3  # rows of the result of `compare`


@pytest.fixture(scope="module")
def run(trained):
    return trained.work / "runs" / RUN


@pytest.fixture(scope="module")
def stems_path(trained):
    return trained.work / "mixtures" / "snr_20.h5"


def distances(clean_db, noisy_db, decoded_db, mean_db=0.0, std=1.0):
    """Distances for a clip of one frame, in dB."""
    clip = Spectrograms(*(np.array([each]) / DB for each in (clean_db, noisy_db, decoded_db)))
    n_mels = len(clean_db)
    rows = compare(clip, np.full(n_mels, mean_db) / DB, np.full(n_mels, std))
    return Denoising(*(Distances(*row) for row in rows))


def test_audible_bins_are_those_within_60_db_of_the_loudest():
    measured = distances([0, -59, -61], noisy_db=[3, -55, 0], decoded_db=[0, -59, 0], mean_db=-10)
    expected = (math.sqrt((9 + 16) / 2), 0.0, math.sqrt((100 + 49**2) / 2), 5 / math.sqrt(2))
    np.testing.assert_allclose(measured.audible_db, expected, atol=1e-9)


def test_over_all_bins_silence_lies_at_the_limit():
    """Below the limit, any signal counts as silent as the clean events."""
    measured = distances([0, -90, -160], [0, -30, -100], decoded_db=[0, -70, -60], mean_db=-80)
    np.testing.assert_allclose(measured.all_db.noisy, 30 / math.sqrt(3))
    np.testing.assert_allclose(measured.all_db.decoded, 0, atol=1e-9)
    np.testing.assert_allclose(measured.all_db.mean, 60 / math.sqrt(3))
    np.testing.assert_allclose(measured.all_db.decoded_to_noisy, 30 / math.sqrt(3))


def test_in_standard_deviations_each_bin_has_its_own():
    clean, noisy = np.zeros((1, 2)), np.array([[1.0, 1.0]])
    rows = compare(Spectrograms(clean, noisy, clean), np.zeros(2), np.array([0.5, 2.0]))
    expected = math.sqrt((4 + 0.25) / 2)
    assert rows[AUDIBLE_STD, 0] == pytest.approx(expected)
    assert rows[ALL_STD, 0] == pytest.approx(expected)


def test_a_decoder_that_gives_back_its_input_is_as_far_as_its_input():
    rng = np.random.default_rng(0)
    clean, noisy = rng.normal(size=(2, 7, 5))
    rows = compare(Spectrograms(clean, noisy, noisy), np.zeros(5), np.ones(5))
    np.testing.assert_array_equal(rows[:, 0], rows[:, 1])
    np.testing.assert_array_equal(rows[:, 3], 0)


def test_a_perfect_denoiser_has_no_distance():
    rng = np.random.default_rng(0)
    clean, noisy = rng.normal(size=(2, 7, 5))
    rows = compare(Spectrograms(clean, noisy, clean), np.zeros(5), np.ones(5))
    np.testing.assert_array_equal(rows[:, 1], 0)
    np.testing.assert_array_equal(rows[:, 0], rows[:, 3])


def test_a_common_gain_changes_nothing():
    rng = np.random.default_rng(0)
    clean, noisy, decoded = rng.normal(size=(3, 7, 5))
    quiet = compare(Spectrograms(clean, noisy, decoded), np.zeros(5), np.ones(5))
    loud = compare(Spectrograms(clean + 2, noisy + 2, decoded + 2), np.full(5, 2), np.ones(5))
    np.testing.assert_allclose(loud, quiet)


def test_the_reconstruction_comes_back_in_the_unit_of_the_log_mel(run):
    card, network = load_model(run)
    waveform = np.random.default_rng(0).normal(scale=0.1, size=(2, card.n_samples))
    detector, standardiser = Detector.load(run), card.build_standardiser()
    found = detector.network.logmel(waveform.astype(np.float32))
    output = detector.network.activations(found, reconstruct=True)
    with torch.no_grad():
        logmel = card.build_logmel()(torch.from_numpy(waveform.astype(np.float32)))
        decoded = network(standardiser(logmel)).reconstruction
    np.testing.assert_allclose(found.numpy(), logmel.numpy())
    np.testing.assert_allclose(output.reconstruction.numpy(), decoded.numpy(), atol=1e-4)
    again = (standardiser.invert(decoded).numpy() - np.array(card.mean)) / np.array(card.std)
    np.testing.assert_allclose(again, decoded.numpy(), atol=1e-4)


def test_the_measure_of_a_fold_is_the_mean_over_its_mixtures(run, stems_path):
    detector = Detector.load(run)
    scores = read_scores(run / "scores.h5")
    fold = list(read_fold(stems_path, 1, detector.card, scores))
    alone = [np.array(measure(detector, [stems])) for stems in fold]
    np.testing.assert_allclose(np.array(measure(detector, fold)), np.mean(alone, axis=0))


def test_mixtures_without_an_audible_event_do_not_count(run, stems_path):
    detector = Detector.load(run)
    scores = read_scores(run / "scores.h5")
    first, *_ = read_fold(stems_path, 1, detector.card, scores)
    silent = Stems(first.mixture, np.zeros_like(first.events), first.truth)
    assert measure(detector, [first, silent]) == measure(detector, [first])
    with pytest.raises(SedmtlError, match="events of the held-out mixtures are silent"):
        measure(detector, [silent])


def test_only_held_out_mixtures_are_read(run, stems_path):
    scores = read_scores(run / "scores.h5")
    fold = list(read_fold(stems_path, 1, load_card(run), scores))
    with Store(stems_path, "waveform") as store:
        rows = np.flatnonzero(store.clips.fold == 1)
        waveforms = store.read(rows)
    assert len(fold) == len(rows) == 6
    for stems, waveform in zip(fold, waveforms, strict=True):
        np.testing.assert_array_equal(np.rint(stems.mixture * FULL_SCALE), waveform)
        assert len(stems.truth) == 3


def test_a_store_of_another_plan_is_refused(run, stems_path):
    card, scores = load_card(run), read_scores(run / "scores.h5")
    events = replace(scores.events, onset_s=scores.events.onset_s + np.float32(0.01))
    for other_card, other in (
        (card, replace(scores, target=1 - scores.target)),
        (card, replace(scores, events=events)),
        (replace(card, n_samples=8000), scores),
    ):
        with pytest.raises(SedmtlError, match="follows another plan"):
            next(read_fold(stems_path, 1, other_card, other))
