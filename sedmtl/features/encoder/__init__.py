"""Frozen encoders from files of the user's: waveforms in, vectors over time out.

A file is opened where the user names it, only read, and used only if it is the one that the user or
a run asks for.
"""

from sedmtl.features.encoder.encoder import Encoder, EncoderError, State, open_encoder, state_of
