"""Metrics by family: of clips, frames, segments and events, at one threshold or at all."""
