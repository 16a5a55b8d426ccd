"""The event classes, each from the ingredients of its namesake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy import signal

from sedmtl.data.corpora.synthesis.ingredients import (
    SAMPLE_RATE,
    Audio,
    Rng,
    Signal,
    as_event,
    band,
    cycles,
    decay,
    drift,
    gate,
    harmonics,
    noise,
    ramp,
    resonate,
    shower,
    strokes,
    swell,
    times,
)


@as_event
def _bell(rng: Rng) -> Signal:
    """A church bell's partials; the low ones are split in two and beat."""
    t = times(rng, 1.5, 3.0)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 3.01, 4.17, 5.43])
    modes = rng.uniform(480, 1100) * ratios * rng.normal(1, 0.004, ratios.size)
    taus = 0.4 * t[-1] / ratios ** rng.uniform(0.5, 0.8)
    gains = np.array([0.6, 1.0, 0.8, 0.4, 0.9, 0.5, 0.5, 0.35, 0.25]) * rng.uniform(0.6, 1.4, 9)
    split = modes[:3] * (1 + rng.uniform(0.002, 0.006, 3))
    hammer = np.exp(-t / 0.002) * (0.3 * rng.standard_normal(t.size))
    hammer[200] = 1.0  # the blow itself, after its swish and past the fade-in
    taus, gains = np.r_[taus, taus[:3]], np.r_[gains, 0.6 * gains[:3]]
    return resonate(hammer, np.r_[modes, split], taus, gains)


@as_event
def _flute(rng: Rng) -> Signal:
    """One to three slurred notes with a vibrato that sets in late, over breath noise."""
    t = times(rng, 1.0, 2.8)
    steps = np.cumsum(np.r_[0, rng.choice([-4, -3, -2, 2, 3, 4, 5], rng.integers(0, 3))])
    notes = steps[(t / (t[-1] + 1e-3) * steps.size).astype(np.intp)]
    slide = np.asarray(signal.lfilter([0.004], [1, -0.996], notes))  # a finger takes 8 ms
    vibrato: Signal = np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * t) * np.clip(t / 0.5 - 0.4, 0, 1)
    f0 = rng.uniform(520, 1050) * np.exp2(slide / 12) * (1 + 0.011 * vibrato)
    tone = harmonics(f0, np.array([1, 0.45, 0.2, 0.08, 0.05, 0.02]) * rng.uniform(0.6, 1.3, 6))
    breath: Signal = noise(rng, t.size, f0[0], 6000, 1.0) * (1 + 2 * np.exp(-t / 0.04))
    return swell(t, 0.05, 0.06) * ((1 + 0.2 * vibrato) * tone + rng.uniform(0.05, 0.1) * breath)


@as_event
def _bird(rng: Rng) -> Signal:
    """A song of one syllable, repeated: a fast frequency sweep with a bend in it."""
    t = times(rng, 0.7, 2.2)
    rate, duty = rng.uniform(5, 11), rng.uniform(0.45, 0.7)
    u = np.clip((t * rate) % 1 / duty, 0, 1)
    sweep = rng.choice([-1, 1]) * rng.uniform(0.3, 0.5) * (u - 0.5)
    bend = rng.uniform(-0.25, 0.25) * np.sin(np.pi * u)
    quaver = 0.03 * np.sin(2 * np.pi * rng.uniform(2, 4) * u)
    fall = rng.uniform(-0.1, 0.05) * t  # the song sinks as breath runs out
    f0 = rng.uniform(2800, 4600) * np.exp2(sweep * 2 + bend + quaver + fall)
    loudness = drift(rng, t.size, rate, 0.5, 1.0)
    return loudness * gate(t, rate, duty, 0.4 * duty / rate) * harmonics(f0, [1, 0.12, 0.03])


@as_event
def _siren(rng: Rng) -> Signal:
    """A wailing horn: a rich tone that sweeps more than an octave up and down."""
    t = times(rng, 1.8, 3.0)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (rng.uniform(0.45, 1.3) * t + rng.random()))
    f0 = rng.uniform(480, 650) * rng.uniform(2.1, 2.8) ** sweep
    tone = harmonics(f0, np.arange(1.0, 13.0) ** -rng.uniform(0.5, 0.9))
    passing = drift(rng, t.size, 0.7, 0.5, 1.0)
    return passing * swell(t, 0.05, 0.05) * band(tone, 600, 4500)


@as_event
def _clap(rng: Rng) -> Signal:
    """Hand claps: bursts of noise coloured by the hollow between the palms."""
    struck = strokes(rng, 3, 6, 0.4)
    bursts = decay(struck, rng.uniform(0.004, 0.009)) * rng.standard_normal(struck.size)
    hollow = rng.uniform(900, 2000)
    palms = resonate(bursts, [hollow, 2.3 * hollow], [0.002, 0.001], [1, 0.6])
    return band(palms + 0.6 * bursts, 500, 9000)


@as_event
def _knock(rng: Rng) -> Signal:
    """Two to four raps on a door: short, low, inharmonic modes of a wooden panel."""
    struck = strokes(rng, 2, 4, 0.45)
    knuckle = decay(struck, 0.0008) * (1 + 0.5 * rng.standard_normal(struck.size))
    ratios = np.array([1.0, 1.58, 2.24, 2.92, 4.1, 5.6]) * rng.normal(1, 0.04, 6)
    taus = rng.uniform(0.018, 0.035) * ratios**-0.7
    return resonate(knuckle, rng.uniform(130, 260) * ratios, taus, 1 / ratios)


_FORMANTS_HZ = np.array(  # F1 to F4 of a, e, i, o, u
    [[730, 1090, 2440, 3400], [530, 1840, 2480, 3500], [270, 2290, 3010, 3700],
     [570, 840, 2410, 3300], [300, 870, 2240, 3200]]
)  # fmt: skip


@as_event
def _vowel(rng: Rng) -> Signal:
    """A voice gliding in pitch and from one vowel to another: source, formants, radiation."""
    t = times(rng, 0.6, 1.8)
    glide = ramp(rng, t.size, 0.25)
    f0 = rng.uniform(95, 240) * np.exp2(glide + 0.012 * np.sin(2 * np.pi * 5 * t))
    f0 *= drift(rng, t.size, 40, 0.99, 1.01)
    u = cycles(f0) % 1
    opening, closing = 0.5 - 0.5 * np.cos(np.pi * u / 0.45), np.cos(np.pi / 2 * (u - 0.45) / 0.17)
    flow = np.where(u < 0.45, opening, np.where(u < 0.62, closing, 0.0))  # Rosenberg's pulse
    source = np.diff(flow, prepend=flow[0])
    source += rng.uniform(0.002, 0.006) * flow * rng.standard_normal(t.size)
    tract = rng.uniform(1.0, 1.2)  # a shorter tract raises all formants together
    taus, gains = 1 / (np.pi * np.array([70, 90, 130, 200])), [1.0, -1.0, 0.9, -0.7]
    start, end = (
        resonate(source, tract * _FORMANTS_HZ[i], taus, gains) for i in rng.choice(5, 2, False)
    )
    blend: Signal = np.clip(1.6 * t / t[-1] - 0.3, 0, 1)
    return swell(t, 0.03, 0.05) * (start + blend * (end - start))


@as_event
def _cricket(rng: Rng) -> Signal:
    """Groups of wing strokes on one high, nearly pure carrier."""
    t = times(rng, 1.0, 3.0)
    stroke = rng.uniform(24, 36)
    groups = stroke / rng.integers(8, 14)
    trill = gate(t, stroke, 0.75, 0.35 / stroke) * gate(t, groups, rng.uniform(0.5, 0.65), 0.03)
    sag = 1 - 0.015 * ((t * stroke) % 1)  # the carrier falls as the wings close
    f0 = rng.uniform(4300, 5600) * sag * drift(rng, t.size, 6, 0.995, 1.005)
    return drift(rng, t.size, 2, 0.7, 1.0) * trill * harmonics(f0, [1, rng.uniform(0.03, 0.1)])


@as_event
def _engine(rng: Rng) -> Signal:
    """A four-cylinder engine: uneven firing pulses in an exhaust pipe, gas noise in their beat."""
    t = times(rng, 1.4, 3.0)
    revs = np.exp2(ramp(rng, t.size, 0.4)) * drift(rng, t.size, 3, 0.97, 1.03)
    turned = cycles(rng.uniform(32, 65) * revs)
    cylinder = rng.uniform(0.6, 1.0, 4)[turned.astype(np.intp) % 4]
    firing = cylinder * np.exp(-rng.uniform(6, 12) * (turned % 1))
    gas = firing * noise(rng, t.size, 300, rng.uniform(3000, 5000), 1.0)
    modes = rng.uniform(75, 130) * np.array([1, 2.1, 3.05, 5.2])
    pipe = resonate(firing + 0.3 * gas, modes, [0.012, 0.009, 0.006, 0.004], [1, 0.8, 0.6, 0.5])
    gas *= rng.uniform(0.4, 0.8) * float(pipe.std() / gas.std())
    return swell(t, 0.05, 0.08) * band(pipe + gas, 40, 6000)


@as_event
def _rattle(rng: Rng) -> Signal:
    """A shaken gourd: seeds strike a small shell, densest at the turn of each shake."""
    t = times(rng, 0.8, 2.4)
    shake = gate(t, rng.uniform(4, 8), 0.8, 0.05)
    grains = decay(shower(rng, rng.uniform(500, 1200) * shake), 0.0015) * shake
    shell = rng.uniform(3200, 5000) * np.array([1, 1.37, 1.9])
    struck = grains * rng.standard_normal(t.size)
    return band(resonate(struck, shell, [0.0012, 0.001, 0.0007], [1, 0.7, 0.5]), 1800, 14000)


@as_event
def _drip(rng: Rng) -> Signal:
    """Water drops: each seals in a bubble that rings, rising in pitch as it nears the surface."""
    struck = strokes(rng, 3, 6, 0.4)
    starts = np.flatnonzero(struck)
    drop = np.searchsorted(starts, np.arange(struck.size), side="right")
    age = (np.arange(struck.size) - np.r_[0, starts][drop]) / SAMPLE_RATE
    pitch = rng.uniform(700, 1400) * np.exp2(rng.normal(0, 0.2, starts.size + 1))
    f0 = pitch[drop] * (1 + np.minimum(rng.uniform(6, 14) * age, 1.5))
    onset: Signal = 1 - np.exp(-age / 0.001)
    return decay(struck, rng.uniform(0.02, 0.04)) * onset * harmonics(f0, [1])


@as_event
def _beep(rng: Rng) -> Signal:
    """An alarm: a square-like tone, gated, on one pitch or on two in turn."""
    t = times(rng, 0.8, 2.6)
    rate = rng.uniform(2.0, 5.0)
    other = rng.choice([1.0, 1.0, 1.26, 0.8])
    f0 = rng.uniform(1300, 2400) * np.where((t * rate).astype(np.intp) % 2, other, 1.0)
    square = harmonics(f0, np.array([1, 0, 1 / 3, 0, 1 / 5, 0, 1 / 7]) ** rng.uniform(0.7, 1.3))
    return gate(t, rate, rng.uniform(0.45, 0.7), 0.004) * square


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
