from __future__ import annotations

import math

import numpy as np
import pytest

from sedmtl.metrics.si_sdr import si_sdr
from sedmtl.metrics.spectral import DB, rms_distance


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_by_hand():
    """The projection of (2, 1) onto (1, 0) is (2, 0), the residual (0, 1): 4 to 1."""
    assert si_sdr(np.array([1.0, 0.0]), np.array([2.0, 1.0])) == pytest.approx(10 * math.log10(4))


def test_orthogonal_noise_at_a_given_ratio_measures_as_that_ratio(rng):
    reference, noise = rng.normal(size=(2, 1000))
    noise -= reference * (noise @ reference) / (reference @ reference)
    for ratio_db in (-20.0, 0.0, 35.0):
        gain = np.linalg.norm(reference) / np.linalg.norm(noise) * 10 ** (-ratio_db / 20)
        assert si_sdr(reference, reference + gain * noise) == pytest.approx(ratio_db)


def test_the_level_and_sign_of_either_do_not_matter(rng):
    reference, estimate = rng.normal(size=(2, 500))
    expected = si_sdr(reference, estimate)
    for gain in (1e-4, -3.0, 1e5):
        assert si_sdr(gain * reference, estimate) == pytest.approx(expected)
        assert si_sdr(reference, gain * estimate) == pytest.approx(expected)


def test_it_is_the_cosine_between_the_two(rng):
    """An equivalent form: 20 log10 of the cotangent of the angle."""
    reference, estimate = rng.normal(size=(2, 50))
    cosine = reference @ estimate / np.linalg.norm(reference) / np.linalg.norm(estimate)
    expected = 20 * math.log10(abs(1 / math.tan(math.acos(cosine))))
    assert si_sdr(reference, estimate) == pytest.approx(expected)


def test_many_at_once_are_each_alone(rng):
    reference, estimate = rng.normal(size=(2, 3, 4, 20))
    together = si_sdr(reference, estimate)
    assert together.shape == (3, 4)
    for i, j in np.ndindex(3, 4):
        assert together[i, j] == pytest.approx(si_sdr(reference[i, j], estimate[i, j]))


def test_means_are_not_subtracted():
    reference, estimate = np.array([1.0, -1.0]), np.array([11.0, 9.0])
    assert si_sdr(reference, estimate) == pytest.approx(10 * math.log10(1 / 100))


def test_the_limits():
    reference = np.array([1.0, 2.0, 0.0])
    assert si_sdr(reference, 2 * reference) == np.inf
    assert si_sdr(reference, np.array([0.0, 0.0, 1.0])) == -np.inf
    assert np.isnan(si_sdr(reference, np.zeros(3)))
    assert np.isnan(si_sdr(np.zeros(3), reference))


def test_double_the_magnitude_is_six_db_away(rng):
    logmel = rng.normal(size=(5, 4))
    everywhere = np.ones((5, 4), bool)
    distance = rms_distance(logmel * DB, (logmel + math.log(2)) * DB, everywhere)
    assert distance == pytest.approx(20 * math.log10(2))


def test_only_the_chosen_bins_are_compared():
    reference, estimate = np.zeros((2, 2)), np.array([[3.0, 100.0], [4.0, -100.0]])
    where = np.array([[True, False], [True, False]])
    assert rms_distance(reference, estimate, where) == pytest.approx(math.sqrt((9 + 16) / 2))
    assert math.isnan(rms_distance(reference, estimate, np.zeros((2, 2), bool)))
