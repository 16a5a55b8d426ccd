"""Procedural sounds: short events and long background scenes, drawn from a seed.

What it is: the sound source of the synthetic corpus. Every event class and every scene is built
from the acoustic ingredients of its namesake: struck resonances, a glottal source behind formants,
frequency-modulated chirps, Poisson showers of grains, coloured noise. Pitch, timing, brightness
and length are drawn anew at each call, so a class is a distribution and not a sample.

What it is not: a model of any recorded data set, a mixer, or a file writer. A result obtained on
these sounds says that a pipeline works, not how well it hears the world.

Where it sits: a leaf. It imports numpy and `scipy.signal`, takes a numpy Generator and returns
arrays; `corpora/synthetic.py` writes those to WAV files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import signal

__all__ = ["EVENTS", "SAMPLE_RATE", "SCENES", "Audio"]

Audio = npt.NDArray[np.float32]
"""A mono signal, shape (N,), at `SAMPLE_RATE`."""

SAMPLE_RATE = 32_000
"""Samples per second of everything made here."""

_Float = npt.NDArray[np.float64]
_Values = Sequence[float] | _Float
_Rng = np.random.Generator


# --- Building blocks ---------------------------------------------------------------------------


def _times(rng: _Rng, shortest_s: float, longest_s: float) -> _Float:
    """Draw a length; return the time of each sample in seconds."""
    return np.arange(round(rng.uniform(shortest_s, longest_s) * SAMPLE_RATE)) / SAMPLE_RATE


def _noise(rng: _Rng, n: int, low_hz: float, high_hz: float, colour: float = 0.0) -> _Float:
    """Band-limited noise of unit RMS whose power falls as 1/f**colour (1 pink, 2 brown).

    Shaped in the frequency domain, so that it is stationary from the first sample on: a filter
    would need a run-in. Skirts fall by 12 dB an octave.
    """
    size = 1 << max(n - 1, 1).bit_length()  # a power of two, whatever n: the FFT stays fast
    f = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    f[0] = f[1]
    power = f**-colour / (1 + np.square(np.square(low_hz / f))) / (1 + np.square(f / high_hz) ** 2)
    spectrum = np.sqrt(power) * rng.standard_normal(2 * f.size).view(np.complex128)
    noise = np.fft.irfft(spectrum, size)[:n]
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))))


def _band(x: _Float, low_hz: float, high_hz: float) -> _Float:
    """Second-order Butterworth band-pass."""
    sos = signal.butter(2, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(signal.sosfilt(sos, x), dtype=np.float64)


def _strokes(rng: _Rng, fewest: int, most: int, gap_s: float) -> _Float:
    """Impulses of a hand's rhythm: one tempo, 8 % of jitter, uneven force; time to ring at the end.

    The gap drawn is at most gap_s and at least half of it.
    """
    gaps = rng.normal(1.0, 0.08, rng.integers(fewest, most + 1)).clip(0.8, 1.2)
    onsets = 0.01 + rng.uniform(0.5, 1.0) * gap_s * (np.cumsum(gaps) - gaps[0])
    train = np.zeros(round((max(onsets[-1], 0.4) + rng.uniform(0.22, 0.35)) * SAMPLE_RATE))
    train[(onsets * SAMPLE_RATE).astype(np.intp)] = rng.uniform(0.5, 1.0, onsets.size)
    return train


def _shower(rng: _Rng, rate_hz: _Float) -> _Float:
    """A Poisson train of impulses, a rate per sample, with exponential gains."""
    hits = rng.random(rate_hz.size) < rate_hz / SAMPLE_RATE
    return hits * rng.exponential(1.0, rate_hz.size)


def _decay(train: _Float, tau_s: float) -> _Float:
    """Turn every impulse into an envelope that falls to 1/e within tau_s."""
    pole = np.exp(-1 / (tau_s * SAMPLE_RATE))
    return np.asarray(signal.lfilter([1.0], [1.0, -pole], train), dtype=np.float64)


def _resonate(x: _Float, modes_hz: _Values, taus_s: _Values, gains: _Values) -> _Float:
    """Pass x through parallel two-pole resonances; a unit impulse rings each at its gain."""
    out = np.zeros_like(x)
    for mode, tau, gain in zip(modes_hz, taus_s, gains, strict=True):
        theta, r = 2 * np.pi * mode / SAMPLE_RATE, np.exp(-1 / (tau * SAMPLE_RATE))
        out += signal.lfilter([gain * np.sin(theta)], [1.0, -2 * r * np.cos(theta), r * r], x)
    return out


def _cycles(f0: _Float) -> _Float:
    """The integral of a frequency curve, in periods."""
    return np.cumsum(f0) / SAMPLE_RATE


def _harmonics(f0: _Float, gains: _Values) -> _Float:
    """A harmonic tone along a pitch curve; harmonics that would alias are left out.

    Horner's scheme in exp(i phase): one multiplication a harmonic is far cheaper than one sine.
    """
    turn = 2 * np.pi * _cycles(f0)
    z = np.cos(turn) + 1j * np.sin(turn)
    total = np.zeros_like(z)
    for gain in gains[: int(0.475 * SAMPLE_RATE / f0.max())][::-1]:
        total += gain
        total *= z
    return np.asarray(total.imag)


def _drift(rng: _Rng, n: int, rate_hz: float, low: float, high: float) -> _Float:
    """A smooth random curve between low and high with about rate_hz turning points a second."""
    position = np.arange(n) * (rate_hz / SAMPLE_RATE) + rng.random()
    knots = rng.uniform(low, high, int(position[-1]) + 2)
    index = position.astype(np.intp)
    weight: _Float = 0.5 - 0.5 * np.cos(np.pi * (position - index))
    return (1 - weight) * knots[index] + weight * knots[index + 1]


def _ramp(rng: _Rng, n: int, reach: float) -> _Float:
    """A straight line between two random values within +-reach."""
    start, end = rng.uniform(-reach, reach, 2)
    return np.linspace(start, end, n)


def _gate(t: _Float, rate_hz: float, duty: float, edge_s: float) -> _Float:
    """A periodic on-off envelope that starts on, with raised-cosine edges of edge_s."""
    into = (t * rate_hz) % 1 / rate_hz
    edge = np.clip(np.minimum(into, duty / rate_hz - into) / edge_s, 0, 1)
    return np.square(np.sin(np.pi / 2 * edge))


def _swell(t: _Float, attack_s: float, release_s: float) -> _Float:
    """An attack-release envelope over the whole of t."""
    return np.asarray((1 - np.exp(-t / attack_s)) * (1 - np.exp((t - t[-1]) / release_s)))


def _level(rng: _Rng, x: _Float) -> Audio:
    """Scale to a drawn peak that leaves headroom."""
    return np.asarray(x * (rng.uniform(0.4, 0.88) / np.abs(x).max()), dtype=np.float32)


def _event(draw: Callable[[_Rng], _Float]) -> Callable[[_Rng], Audio]:
    """Place an event in a small room, fade its edges so that no cut clicks, and level it."""

    @wraps(draw)
    def synthesise(rng: _Rng) -> Audio:
        x = draw(rng)
        t = np.arange(SAMPLE_RATE // 5) / SAMPLE_RATE
        tail = rng.standard_normal(t.size) * np.exp(-t / rng.uniform(0.03, 0.06)) * (t > 0.004)
        x = x + signal.fftconvolve(x, rng.uniform(0.002, 0.015) * tail)[: x.size]
        ramp = np.linspace(0, 1, SAMPLE_RATE // 200)
        x[: ramp.size] *= ramp
        x[-ramp.size :] *= ramp[::-1]
        return _level(rng, x)

    return synthesise


def _scene(draw: Callable[[_Rng, int], _Float]) -> Callable[[_Rng, float], Audio]:
    """Turn seconds into samples and finish a scene at a drawn level."""

    @wraps(draw)
    def synthesise(rng: _Rng, duration_s: float) -> Audio:
        return _level(rng, draw(rng, round(duration_s * SAMPLE_RATE)))

    return synthesise


# --- Events ------------------------------------------------------------------------------------


@_event
def _bell(rng: _Rng) -> _Float:
    """A church bell's partials; the low ones are split in two and beat."""
    t = _times(rng, 1.5, 3.0)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 3.01, 4.17, 5.43])
    modes = rng.uniform(480, 1100) * ratios * rng.normal(1, 0.004, ratios.size)
    taus = 0.4 * t[-1] / ratios ** rng.uniform(0.5, 0.8)
    gains = np.array([0.6, 1.0, 0.8, 0.4, 0.9, 0.5, 0.5, 0.35, 0.25]) * rng.uniform(0.6, 1.4, 9)
    split = modes[:3] * (1 + rng.uniform(0.002, 0.006, 3))
    hammer = np.exp(-t / 0.002) * (0.3 * rng.standard_normal(t.size))
    hammer[200] = 1.0  # the blow itself, after its swish and past the fade-in
    taus, gains = np.r_[taus, taus[:3]], np.r_[gains, 0.6 * gains[:3]]
    return _resonate(hammer, np.r_[modes, split], taus, gains)


@_event
def _flute(rng: _Rng) -> _Float:
    """One to three slurred notes with a vibrato that sets in late, over breath noise."""
    t = _times(rng, 1.0, 2.8)
    steps = np.cumsum(np.r_[0, rng.choice([-4, -3, -2, 2, 3, 4, 5], rng.integers(0, 3))])
    notes = steps[(t / (t[-1] + 1e-3) * steps.size).astype(np.intp)]
    slide = np.asarray(signal.lfilter([0.004], [1, -0.996], notes))  # a finger takes 8 ms
    vibrato: _Float = np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * t) * np.clip(t / 0.5 - 0.4, 0, 1)
    f0 = rng.uniform(520, 1050) * np.exp2(slide / 12) * (1 + 0.011 * vibrato)
    tone = _harmonics(f0, np.array([1, 0.45, 0.2, 0.08, 0.05, 0.02]) * rng.uniform(0.6, 1.3, 6))
    breath: _Float = _noise(rng, t.size, f0[0], 6000, 1.0) * (1 + 2 * np.exp(-t / 0.04))
    return _swell(t, 0.05, 0.06) * ((1 + 0.2 * vibrato) * tone + rng.uniform(0.05, 0.1) * breath)


@_event
def _bird(rng: _Rng) -> _Float:
    """A song of one syllable, repeated: a fast frequency sweep with a bend in it."""
    t = _times(rng, 0.7, 2.2)
    rate, duty = rng.uniform(5, 11), rng.uniform(0.45, 0.7)
    u = np.clip((t * rate) % 1 / duty, 0, 1)
    sweep = rng.choice([-1, 1]) * rng.uniform(0.3, 0.5) * (u - 0.5)
    bend = rng.uniform(-0.25, 0.25) * np.sin(np.pi * u)
    quaver = 0.03 * np.sin(2 * np.pi * rng.uniform(2, 4) * u)
    fall = rng.uniform(-0.1, 0.05) * t  # the song sinks as breath runs out
    f0 = rng.uniform(2800, 4600) * np.exp2(sweep * 2 + bend + quaver + fall)
    loudness = _drift(rng, t.size, rate, 0.5, 1.0)
    return loudness * _gate(t, rate, duty, 0.4 * duty / rate) * _harmonics(f0, [1, 0.12, 0.03])


@_event
def _siren(rng: _Rng) -> _Float:
    """A wailing horn: a rich tone that sweeps more than an octave up and down."""
    t = _times(rng, 1.8, 3.0)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (rng.uniform(0.45, 1.3) * t + rng.random()))
    f0 = rng.uniform(480, 650) * rng.uniform(2.1, 2.8) ** sweep
    tone = _harmonics(f0, np.arange(1.0, 13.0) ** -rng.uniform(0.5, 0.9))
    passing = _drift(rng, t.size, 0.7, 0.5, 1.0)
    return passing * _swell(t, 0.05, 0.05) * _band(tone, 600, 4500)


@_event
def _clap(rng: _Rng) -> _Float:
    """Hand claps: bursts of noise coloured by the hollow between the palms."""
    strokes = _strokes(rng, 3, 6, 0.4)
    bursts = _decay(strokes, rng.uniform(0.004, 0.009)) * rng.standard_normal(strokes.size)
    hollow = rng.uniform(900, 2000)
    palms = _resonate(bursts, [hollow, 2.3 * hollow], [0.002, 0.001], [1, 0.6])
    return _band(palms + 0.6 * bursts, 500, 9000)


@_event
def _knock(rng: _Rng) -> _Float:
    """Two to four raps on a door: short, low, inharmonic modes of a wooden panel."""
    strokes = _strokes(rng, 2, 4, 0.45)
    knuckle = _decay(strokes, 0.0008) * (1 + 0.5 * rng.standard_normal(strokes.size))
    ratios = np.array([1.0, 1.58, 2.24, 2.92, 4.1, 5.6]) * rng.normal(1, 0.04, 6)
    taus = rng.uniform(0.018, 0.035) * ratios**-0.7
    return _resonate(knuckle, rng.uniform(130, 260) * ratios, taus, 1 / ratios)


_FORMANTS_HZ = np.array(  # F1 to F4 of a, e, i, o, u
    [[730, 1090, 2440, 3400], [530, 1840, 2480, 3500], [270, 2290, 3010, 3700],
     [570, 840, 2410, 3300], [300, 870, 2240, 3200]]
)  # fmt: skip


@_event
def _vowel(rng: _Rng) -> _Float:
    """A voice gliding in pitch and from one vowel to another: source, formants, radiation."""
    t = _times(rng, 0.6, 1.8)
    glide = _ramp(rng, t.size, 0.25)
    f0 = rng.uniform(95, 240) * np.exp2(glide + 0.012 * np.sin(2 * np.pi * 5 * t))
    f0 *= _drift(rng, t.size, 40, 0.99, 1.01)
    u = _cycles(f0) % 1
    opening, closing = 0.5 - 0.5 * np.cos(np.pi * u / 0.45), np.cos(np.pi / 2 * (u - 0.45) / 0.17)
    flow = np.where(u < 0.45, opening, np.where(u < 0.62, closing, 0.0))  # Rosenberg's pulse
    source = np.diff(flow, prepend=flow[0])
    source += rng.uniform(0.002, 0.006) * flow * rng.standard_normal(t.size)
    tract = rng.uniform(1.0, 1.2)  # a shorter tract raises all formants together
    taus, gains = 1 / (np.pi * np.array([70, 90, 130, 200])), [1.0, -1.0, 0.9, -0.7]
    start, end = (
        _resonate(source, tract * _FORMANTS_HZ[i], taus, gains) for i in rng.choice(5, 2, False)
    )
    blend: _Float = np.clip(1.6 * t / t[-1] - 0.3, 0, 1)
    return _swell(t, 0.03, 0.05) * (start + blend * (end - start))


@_event
def _cricket(rng: _Rng) -> _Float:
    """Groups of wing strokes on one high, nearly pure carrier."""
    t = _times(rng, 1.0, 3.0)
    stroke = rng.uniform(24, 36)
    groups = stroke / rng.integers(8, 14)
    trill = _gate(t, stroke, 0.75, 0.35 / stroke) * _gate(t, groups, rng.uniform(0.5, 0.65), 0.03)
    sag = 1 - 0.015 * ((t * stroke) % 1)  # the carrier falls as the wings close
    f0 = rng.uniform(4300, 5600) * sag * _drift(rng, t.size, 6, 0.995, 1.005)
    return _drift(rng, t.size, 2, 0.7, 1.0) * trill * _harmonics(f0, [1, rng.uniform(0.03, 0.1)])


@_event
def _engine(rng: _Rng) -> _Float:
    """A four-cylinder engine: uneven firing pulses in an exhaust pipe, gas noise in their beat."""
    t = _times(rng, 1.4, 3.0)
    revs = np.exp2(_ramp(rng, t.size, 0.4)) * _drift(rng, t.size, 3, 0.97, 1.03)
    cycles = _cycles(rng.uniform(32, 65) * revs)
    cylinder = rng.uniform(0.6, 1.0, 4)[cycles.astype(np.intp) % 4]
    firing = cylinder * np.exp(-rng.uniform(6, 12) * (cycles % 1))
    gas = firing * _noise(rng, t.size, 300, rng.uniform(3000, 5000), 1.0)
    modes = rng.uniform(75, 130) * np.array([1, 2.1, 3.05, 5.2])
    pipe = _resonate(firing + 0.3 * gas, modes, [0.012, 0.009, 0.006, 0.004], [1, 0.8, 0.6, 0.5])
    gas *= rng.uniform(0.4, 0.8) * float(pipe.std() / gas.std())
    return _swell(t, 0.05, 0.08) * _band(pipe + gas, 40, 6000)


@_event
def _rattle(rng: _Rng) -> _Float:
    """A shaken gourd: seeds strike a small shell, densest at the turn of each shake."""
    t = _times(rng, 0.8, 2.4)
    shake = _gate(t, rng.uniform(4, 8), 0.8, 0.05)
    grains = _decay(_shower(rng, rng.uniform(500, 1200) * shake), 0.0015) * shake
    shell = rng.uniform(3200, 5000) * np.array([1, 1.37, 1.9])
    struck = grains * rng.standard_normal(t.size)
    return _band(_resonate(struck, shell, [0.0012, 0.001, 0.0007], [1, 0.7, 0.5]), 1800, 14000)


@_event
def _drip(rng: _Rng) -> _Float:
    """Water drops: each seals in a bubble that rings, rising in pitch as it nears the surface."""
    strokes = _strokes(rng, 3, 6, 0.4)
    starts = np.flatnonzero(strokes)
    drop = np.searchsorted(starts, np.arange(strokes.size), side="right")
    age = (np.arange(strokes.size) - np.r_[0, starts][drop]) / SAMPLE_RATE
    pitch = rng.uniform(700, 1400) * np.exp2(rng.normal(0, 0.2, starts.size + 1))
    f0 = pitch[drop] * (1 + np.minimum(rng.uniform(6, 14) * age, 1.5))
    onset: _Float = 1 - np.exp(-age / 0.001)
    return _decay(strokes, rng.uniform(0.02, 0.04)) * onset * _harmonics(f0, [1])


@_event
def _beep(rng: _Rng) -> _Float:
    """An alarm: a square-like tone, gated, on one pitch or on two in turn."""
    t = _times(rng, 0.8, 2.6)
    rate = rng.uniform(2.0, 5.0)
    other = rng.choice([1.0, 1.0, 1.26, 0.8])
    f0 = rng.uniform(1300, 2400) * np.where((t * rate).astype(np.intp) % 2, other, 1.0)
    square = _harmonics(f0, np.array([1, 0, 1 / 3, 0, 1 / 5, 0, 1 / 7]) ** rng.uniform(0.7, 1.3))
    return _gate(t, rate, rng.uniform(0.45, 0.7), 0.004) * square


# --- Scenes ------------------------------------------------------------------------------------


@_scene
def _wind(rng: _Rng, n: int) -> _Float:
    """Gusts: the stronger the wind, the higher the band it stirs."""
    gust = _drift(rng, n, rng.uniform(0.4, 0.9), 0.35, 1.0) * _drift(rng, n, 4, 0.8, 1.0)
    low = _noise(rng, n, 40, rng.uniform(180, 300), 1.0)
    high = _noise(rng, n, 300, rng.uniform(700, 1200), 0.5)
    return gust * (low + rng.uniform(0.5, 0.9) * gust**2 * high)


@_scene
def _rain(rng: _Rng, n: int) -> _Float:
    """Thousands of drops a second, each a click without pitch, over the hiss of far ones."""
    pour = _drift(rng, n, 0.5, 0.7, 1.0)
    drops = _decay(_shower(rng, rng.uniform(800, 2500) * pour), 0.001) * rng.standard_normal(n)
    near = _band(drops, rng.uniform(1200, 2200), 13000)
    hiss = _noise(rng, n, 1500, rng.uniform(8000, 14000), 0.5) * pour
    return near / float(near.std()) + rng.uniform(0.6, 1.2) * hiss


@_scene
def _traffic(rng: _Rng, n: int) -> _Float:
    """A distant road's rumble and hum, and cars that pass with a rush of tyre noise."""
    t = np.arange(n) / SAMPLE_RATE
    centres = rng.uniform(-1, t[-1] + 1, (rng.poisson(0.3 * t[-1]) + 1, 1))
    widths = rng.uniform(0.5, 1.2, centres.shape)
    passing: _Float = np.sum(1 / (1 + np.square((t - centres) / widths)), axis=0)
    tyres = _noise(rng, n, 350, rng.uniform(1200, 2000), 0.5)
    hum = _harmonics(rng.uniform(80, 110) * _drift(rng, n, 0.3, 0.95, 1.05), [1, 0.5, 0.2])
    return _noise(rng, n, 35, 400, 2.0) + 0.7 * passing * tyres + 0.15 * hum


@_scene
def _surf(rng: _Rng, n: int) -> _Float:
    """Waves that break fast and ebb slowly; foam hisses at the top of each."""
    swing = np.arange(n) / SAMPLE_RATE / rng.uniform(4.5, 8.0) + rng.random()
    wave = 0.5 - 0.5 * np.cos(2 * np.pi * (swing % 1) ** 0.6)
    wave *= _drift(rng, n, 0.3, 0.6, 1.0)
    body = _noise(rng, n, 80, 1500, 1.0)
    foam = _noise(rng, n, 1000, rng.uniform(5000, 9000), 1.0)
    return (0.3 + wave) * body + (0.15 + wave**2) * rng.uniform(0.5, 0.9) * foam


@_scene
def _room_tone(rng: _Rng, n: int) -> _Float:
    """Mains hum, ventilation, and the murmur of speech behind a wall, too dull to have pitch."""
    mains = np.full(n, rng.choice([50.0, 60.0]))
    hum = _harmonics(mains, np.array([0.4, 1, 0.2, 0.5, 0.1, 0.25]) * rng.uniform(0.5, 1.5, 6))
    air = _noise(rng, n, 80, rng.uniform(500, 1500), 1.0) * _drift(rng, n, 0.5, 0.9, 1.0)
    breath = rng.standard_normal(n) * _drift(rng, n, 4.5, 0.0, 1.0) ** 2
    murmur = _resonate(breath, [330, 560, 900], [0.004, 0.003, 0.002], [1, 0.6, 0.2])
    return 0.6 * hum + air + rng.uniform(0.3, 0.6) * murmur / float(murmur.std())


EVENTS: Mapping[str, Callable[[np.random.Generator], Audio]] = MappingProxyType(
    {
        "beep": _beep, "bell": _bell, "bird": _bird, "clap": _clap, "cricket": _cricket,
        "drip": _drip, "engine": _engine, "flute": _flute, "knock": _knock, "rattle": _rattle,
        "siren": _siren, "vowel": _vowel,
    }
)  # fmt: skip
"""Event class -> synthesiser.

Each call draws a new example from the Generator, which it advances, and returns it with shape
(N,), 0.6 to 3 s long, with a peak in (0, 0.9]. The same Generator state gives the same samples.
"""

SCENES: Mapping[str, Callable[[np.random.Generator, float], Audio]] = MappingProxyType(
    {"rain": _rain, "room": _room_tone, "surf": _surf, "traffic": _traffic, "wind": _wind}
)
"""Scene -> synthesiser of a background that is active from its first sample to its last.

Each call takes a Generator and a positive duration in seconds, and returns exactly
``round(duration_s * SAMPLE_RATE)`` samples, shape (N,), with a peak in (0, 0.9].
"""
