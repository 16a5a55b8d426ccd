"""Procedural sounds: short events and long background scenes, drawn from a seed.

The sound source of the synthetic corpus. Every event class and every scene is built from the
acoustic ingredients of its namesake: struck resonances, a glottal source behind formants,
frequency-modulated chirps, Poisson showers of grains, coloured noise. Pitch, timing, brightness
and length are drawn at each call, so a class is a distribution and not a sample.

These sounds do not model any recorded data set: results on them show that a pipeline works, not how
well it detects real sounds. `corpora/synthetic.py` writes them to WAV files.
"""

from sedmtl.data.corpora.synthesis.events import EVENTS
from sedmtl.data.corpora.synthesis.ingredients import SAMPLE_RATE, Audio
from sedmtl.data.corpora.synthesis.scenes import SCENES
