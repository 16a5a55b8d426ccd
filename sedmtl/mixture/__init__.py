"""Mixtures: `plan` decides every one of them, `render` makes one, `worker` brings it the audio.

The protocol is the paper's (section IV-A) and that of the recipe it inherits (Kong et al., TASLP
2019): events of one fold's recordings, one scene each, loudness set by the ratio of RMS values.
"""
