"""The acoustic ingredients: noise, decays, resonances, harmonics, envelopes, and their levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps

import numpy as np
import numpy.typing as npt
from scipy import signal

Audio = npt.NDArray[np.float32]
"""A mono signal, shape (N,), at `SAMPLE_RATE`."""

SAMPLE_RATE = 32_000
"""Samples per second of all synthetic sounds."""

Signal = npt.NDArray[np.float64]
Values = Sequence[float] | Signal
Rng = np.random.Generator


def times(rng: Rng, shortest_s: float, longest_s: float) -> Signal:
    """Draw a length; return the time of each sample in seconds."""
    return np.arange(round(rng.uniform(shortest_s, longest_s) * SAMPLE_RATE)) / SAMPLE_RATE


def noise(rng: Rng, n: int, low_hz: float, high_hz: float, colour: float = 0.0) -> Signal:
    """Band-limited noise of unit RMS whose power falls as 1/f**colour (1 pink, 2 brown).

    Shaped in the frequency domain, so that it is stationary from the first sample: a filter
    would need to settle. Skirts fall by 12 dB per octave.
    """
    size = 1 << max(n - 1, 1).bit_length()  # a power of two keeps the FFT fast
    f = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    f[0] = f[1]
    power = f**-colour / (1 + np.square(np.square(low_hz / f))) / (1 + np.square(f / high_hz) ** 2)
    spectrum = np.sqrt(power) * rng.standard_normal(2 * f.size).view(np.complex128)
    noise = np.fft.irfft(spectrum, size)[:n]
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))))


def band(x: Signal, low_hz: float, high_hz: float) -> Signal:
    """Second-order Butterworth band-pass."""
    sos = signal.butter(2, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(signal.sosfilt(sos, x), dtype=np.float64)


def strokes(rng: Rng, fewest: int, most: int, gap_s: float) -> Signal:
    """Impulses with a human rhythm: one tempo, 8 % jitter, uneven force, and time to ring out.

    The gap is drawn between half of gap_s and gap_s.
    """
    gaps = rng.normal(1.0, 0.08, rng.integers(fewest, most + 1)).clip(0.8, 1.2)
    onsets = 0.01 + rng.uniform(0.5, 1.0) * gap_s * (np.cumsum(gaps) - gaps[0])
    train = np.zeros(round((max(onsets[-1], 0.4) + rng.uniform(0.22, 0.35)) * SAMPLE_RATE))
    train[(onsets * SAMPLE_RATE).astype(np.intp)] = rng.uniform(0.5, 1.0, onsets.size)
    return train


def shower(rng: Rng, rate_hz: Signal) -> Signal:
    """A Poisson train of impulses, a rate per sample, with exponential gains."""
    hits = rng.random(rate_hz.size) < rate_hz / SAMPLE_RATE
    return hits * rng.exponential(1.0, rate_hz.size)


def decay(train: Signal, tau_s: float) -> Signal:
    """Turn every impulse into an envelope that falls to 1/e within tau_s."""
    pole = np.exp(-1 / (tau_s * SAMPLE_RATE))
    return np.asarray(signal.lfilter([1.0], [1.0, -pole], train), dtype=np.float64)


def resonate(x: Signal, modes_hz: Values, taus_s: Values, gains: Values) -> Signal:
    """Pass x through parallel two-pole resonances; a unit impulse rings each at its gain."""
    out = np.zeros_like(x)
    for mode, tau, gain in zip(modes_hz, taus_s, gains, strict=True):
        theta, r = 2 * np.pi * mode / SAMPLE_RATE, np.exp(-1 / (tau * SAMPLE_RATE))
        out += signal.lfilter([gain * np.sin(theta)], [1.0, -2 * r * np.cos(theta), r * r], x)
    return out


def cycles(f0: Signal) -> Signal:
    """The integral of a frequency curve, in periods."""
    return np.cumsum(f0) / SAMPLE_RATE


def harmonics(f0: Signal, gains: Values) -> Signal:
    """A harmonic tone along a pitch curve; harmonics that would alias are left out.

    Horner's scheme in exp(i phase): one multiplication per harmonic is far cheaper than one sine.
    """
    turn = 2 * np.pi * cycles(f0)
    z = np.cos(turn) + 1j * np.sin(turn)
    total = np.zeros_like(z)
    for gain in gains[: int(0.475 * SAMPLE_RATE / f0.max())][::-1]:
        total += gain
        total *= z
    return np.asarray(total.imag)


def drift(rng: Rng, n: int, rate_hz: float, low: float, high: float) -> Signal:
    """A smooth random curve between low and high with about rate_hz turning points per second."""
    position = np.arange(n) * (rate_hz / SAMPLE_RATE) + rng.random()
    knots = rng.uniform(low, high, int(position[-1]) + 2)
    index = position.astype(np.intp)
    weight: Signal = 0.5 - 0.5 * np.cos(np.pi * (position - index))
    return (1 - weight) * knots[index] + weight * knots[index + 1]


def ramp(rng: Rng, n: int, reach: float) -> Signal:
    """A straight line between two random values within +-reach."""
    start, end = rng.uniform(-reach, reach, 2)
    return np.linspace(start, end, n)


def gate(t: Signal, rate_hz: float, duty: float, edge_s: float) -> Signal:
    """A periodic on-off envelope that starts on, with raised-cosine edges of edge_s."""
    into = (t * rate_hz) % 1 / rate_hz
    edge = np.clip(np.minimum(into, duty / rate_hz - into) / edge_s, 0, 1)
    return np.square(np.sin(np.pi / 2 * edge))


def swell(t: Signal, attack_s: float, release_s: float) -> Signal:
    """An attack-release envelope over the whole of t."""
    return np.asarray((1 - np.exp(-t / attack_s)) * (1 - np.exp((t - t[-1]) / release_s)))


def level(rng: Rng, x: Signal) -> Audio:
    """Scale to a drawn peak that leaves headroom."""
    return np.asarray(x * (rng.uniform(0.4, 0.88) / np.abs(x).max()), dtype=np.float32)


def as_event(draw: Callable[[Rng], Signal]) -> Callable[[Rng], Audio]:
    """Place an event in a small room, fade its edges so that no cut clicks, and level it."""

    @wraps(draw)
    def synthesise(rng: Rng) -> Audio:
        x = draw(rng)
        t = np.arange(SAMPLE_RATE // 5) / SAMPLE_RATE
        tail = rng.standard_normal(t.size) * np.exp(-t / rng.uniform(0.03, 0.06)) * (t > 0.004)
        x = x + signal.fftconvolve(x, rng.uniform(0.002, 0.015) * tail)[: x.size]
        ramp = np.linspace(0, 1, SAMPLE_RATE // 200)
        x[: ramp.size] *= ramp
        x[-ramp.size :] *= ramp[::-1]
        return level(rng, x)

    return synthesise


def as_scene(draw: Callable[[Rng, int], Signal]) -> Callable[[Rng, float], Audio]:
    """Turn seconds into samples and finish a scene at a drawn level."""

    @wraps(draw)
    def synthesise(rng: Rng, duration_s: float) -> Audio:
        return level(rng, draw(rng, round(duration_s * SAMPLE_RATE)))

    return synthesise
