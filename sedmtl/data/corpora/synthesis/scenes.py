"""The background scenes, without sounds that could be mistaken for events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from sedmtl.data.corpora.synthesis.ingredients import (
    SAMPLE_RATE,
    Audio,
    Rng,
    Signal,
    as_scene,
    band,
    decay,
    drift,
    harmonics,
    noise,
    resonate,
    shower,
)


@as_scene
def _wind(rng: Rng, n: int) -> Signal:
    """Gusts: the stronger the wind, the higher the band it stirs."""
    gust = drift(rng, n, rng.uniform(0.4, 0.9), 0.35, 1.0) * drift(rng, n, 4, 0.8, 1.0)
    low = noise(rng, n, 40, rng.uniform(180, 300), 1.0)
    high = noise(rng, n, 300, rng.uniform(700, 1200), 0.5)
    return gust * (low + rng.uniform(0.5, 0.9) * gust**2 * high)


@as_scene
def _rain(rng: Rng, n: int) -> Signal:
    """Thousands of drops per second, each a click without pitch, over the hiss of far ones."""
    pour = drift(rng, n, 0.5, 0.7, 1.0)
    drops = decay(shower(rng, rng.uniform(800, 2500) * pour), 0.001) * rng.standard_normal(n)
    near = band(drops, rng.uniform(1200, 2200), 13000)
    hiss = noise(rng, n, 1500, rng.uniform(8000, 14000), 0.5) * pour
    return near / float(near.std()) + rng.uniform(0.6, 1.2) * hiss


@as_scene
def _traffic(rng: Rng, n: int) -> Signal:
    """A distant road's rumble and hum, and cars that pass with a rush of tyre noise."""
    t = np.arange(n) / SAMPLE_RATE
    centres = rng.uniform(-1, t[-1] + 1, (rng.poisson(0.3 * t[-1]) + 1, 1))
    widths = rng.uniform(0.5, 1.2, centres.shape)
    passing: Signal = np.sum(1 / (1 + np.square((t - centres) / widths)), axis=0)
    tyres = noise(rng, n, 350, rng.uniform(1200, 2000), 0.5)
    hum = harmonics(rng.uniform(80, 110) * drift(rng, n, 0.3, 0.95, 1.05), [1, 0.5, 0.2])
    return noise(rng, n, 35, 400, 2.0) + 0.7 * passing * tyres + 0.15 * hum


@as_scene
def _surf(rng: Rng, n: int) -> Signal:
    """Waves that break fast and ebb slowly; foam hisses at the top of each."""
    swing = np.arange(n) / SAMPLE_RATE / rng.uniform(4.5, 8.0) + rng.random()
    wave = 0.5 - 0.5 * np.cos(2 * np.pi * (swing % 1) ** 0.6)
    wave *= drift(rng, n, 0.3, 0.6, 1.0)
    body = noise(rng, n, 80, 1500, 1.0)
    foam = noise(rng, n, 1000, rng.uniform(5000, 9000), 1.0)
    return (0.3 + wave) * body + (0.15 + wave**2) * rng.uniform(0.5, 0.9) * foam


@as_scene
def _room_tone(rng: Rng, n: int) -> Signal:
    """Mains hum, ventilation, and the murmur of speech behind a wall, too dull to have pitch."""
    mains = np.full(n, rng.choice([50.0, 60.0]))
    hum = harmonics(mains, np.array([0.4, 1, 0.2, 0.5, 0.1, 0.25]) * rng.uniform(0.5, 1.5, 6))
    air = noise(rng, n, 80, rng.uniform(500, 1500), 1.0) * drift(rng, n, 0.5, 0.9, 1.0)
    breath = rng.standard_normal(n) * drift(rng, n, 4.5, 0.0, 1.0) ** 2
    murmur = resonate(breath, [330, 560, 900], [0.004, 0.003, 0.002], [1, 0.6, 0.2])
    return 0.6 * hum + air + rng.uniform(0.3, 0.6) * murmur / float(murmur.std())


SCENES: Mapping[str, Callable[[np.random.Generator, float], Audio]] = MappingProxyType(
    {"rain": _rain, "room": _room_tone, "surf": _surf, "traffic": _traffic, "wind": _wind}
)
"""Scene -> synthesiser of a background that is active from its first sample to its last.

Each call takes a Generator and a positive duration in seconds, and returns exactly
``round(duration_s * SAMPLE_RATE)`` samples, shape (N,), with a peak in (0, 0.9].
"""
