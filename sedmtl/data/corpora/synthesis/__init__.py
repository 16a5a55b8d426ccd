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

from sedmtl.data.corpora.synthesis.events import EVENTS
from sedmtl.data.corpora.synthesis.ingredients import SAMPLE_RATE, Audio
from sedmtl.data.corpora.synthesis.scenes import SCENES

__all__ = ["EVENTS", "SAMPLE_RATE", "SCENES", "Audio"]
