"""Frozen encoders from the user's files: waveforms in, vectors over time out.

A file is opened where the user names it, never changed, and used only if it is the one that the
project or a run requires.
"""

from sedmtl.features.encoder.encoder import Encoder, State, open_encoder, state_of
from sedmtl.features.encoder.runtimes.graph import EncoderError
