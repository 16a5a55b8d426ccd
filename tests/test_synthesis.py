"""Synthetic sounds: promised lengths and levels, repeatable, varied, distinguishable."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import signal

from sedmtl.data.corpora.synthesis import EVENTS, SAMPLE_RATE, SCENES, Audio

pytestmark = pytest.mark.slow

TRAINED, TESTED = range(10), range(10, 18)


def draw(name: str, seed: int) -> Audio:
    return EVENTS[name](np.random.default_rng([seed, sorted(EVENTS).index(name)]))


def band_statistics(x: Audio) -> npt.NDArray[np.float64]:
    """Level-independent log energies of 24 log-spaced bands: mean and deviation over time."""
    f, _, spectrum = signal.stft(x, SAMPLE_RATE, nperseg=1024)
    edges = np.searchsorted(f, np.geomspace(60, 15_500, 25))
    edges = np.maximum(edges, np.arange(1, 26))  # no empty band at the bottom
    energy = np.add.reduceat(np.abs(spectrum) ** 2, edges, axis=0)[:-1]
    level: npt.NDArray[np.float64] = np.log10(energy / energy.max() + 1e-6)
    return np.concatenate([level.mean(1), level.std(1)])


def rms(x: Audio) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, int], Audio]:
    return {(name, seed): draw(name, seed) for name in EVENTS for seed in (*TRAINED, *TESTED)}


@pytest.fixture(scope="module")
def centroids(
    drawn: dict[tuple[str, int], Audio],
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """One mean per event class, and one per scene from its first draws."""
    means = {n: np.mean([band_statistics(drawn[n, s]) for s in TRAINED], 0) for n in EVENTS}
    for name, scene in SCENES.items():
        draws = [scene(np.random.default_rng(seed), 2.0) for seed in TRAINED]
        means[name] = np.mean([band_statistics(x) for x in draws], 0)
    return list(means), np.array(list(means.values()))


def nearest(x: Audio, centroids: tuple[list[str], npt.NDArray[np.float64]]) -> str:
    names, means = centroids
    return names[int(np.argmin(np.square(means - band_statistics(x)).sum(1)))]


def test_there_are_ten_classes_and_five_scenes() -> None:
    assert len(EVENTS) >= 10
    assert len(SCENES) >= 5
    assert not set(EVENTS) & set(SCENES)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_has_the_promised_length_and_level(
    name: str, drawn: dict[tuple[str, int], Audio]
) -> None:
    for seed in (*TRAINED, *TESTED):
        x = drawn[name, seed]
        assert x.dtype == np.float32
        assert x.ndim == 1
        assert np.isfinite(x).all()
        assert 0.6 <= x.size / SAMPLE_RATE <= 3.0
        assert 0.3 < np.abs(x).max() <= 0.9
        assert rms(x) > 0.01
        assert abs(x.mean()) < 0.01


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_neither_starts_nor_ends_with_a_click(
    name: str, drawn: dict[tuple[str, int], Audio]
) -> None:
    for seed in TRAINED:
        assert abs(drawn[name, seed][0]) < 1e-6
        assert abs(drawn[name, seed][-1]) < 1e-6


@pytest.mark.parametrize("name", EVENTS)
def test_the_same_seed_gives_the_same_event(name: str, drawn: dict[tuple[str, int], Audio]) -> None:
    np.testing.assert_array_equal(draw(name, 0), drawn[name, 0])


@pytest.mark.parametrize("name", EVENTS)
def test_the_next_draw_from_one_generator_is_another_event(name: str) -> None:
    rng = np.random.default_rng(0)
    first, second = EVENTS[name](rng), EVENTS[name](rng)
    assert first.size != second.size
    shared = min(first.size, second.size)
    assert not np.allclose(first[:shared], second[:shared], atol=0.05)


@pytest.mark.parametrize("name", EVENTS)
def test_lengths_vary_within_a_class(name: str, drawn: dict[tuple[str, int], Audio]) -> None:
    lengths = [drawn[name, seed].size / SAMPLE_RATE for seed in TRAINED]
    assert max(lengths) - min(lengths) > 0.3


def test_nearest_centroids_distinguish_the_classes(
    drawn: dict[tuple[str, int], Audio],
    centroids: tuple[list[str], npt.NDArray[np.float64]],
) -> None:
    hits = [nearest(drawn[n, s], centroids) == n for n in EVENTS for s in TESTED]
    assert np.mean(hits) > 0.9


def test_no_scene_is_taken_for_an_event(
    centroids: tuple[list[str], npt.NDArray[np.float64]],
) -> None:
    for name, scene in SCENES.items():
        x = scene(np.random.default_rng(100), 10.0)
        taken_for = {nearest(part, centroids) for part in np.split(x, 5)}
        assert taken_for <= set(SCENES), name


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("duration_s", [0.5, 1.00003, 10.0])
def test_a_scene_has_exactly_the_requested_length(name: str, duration_s: float) -> None:
    x = SCENES[name](np.random.default_rng(1), duration_s)
    assert x.shape == (round(duration_s * SAMPLE_RATE),)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert 0.3 < np.abs(x).max() <= 0.9


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_active_all_the_time(name: str) -> None:
    for seed in range(3):
        x = SCENES[name](np.random.default_rng(seed), 10.0)
        assert all(rms(part) > 0.15 * rms(x) for part in np.split(x, 40)), seed


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_set_by_its_seed(name: str) -> None:
    first, again, other = (SCENES[name](np.random.default_rng(seed), 1.0) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=0.05)
