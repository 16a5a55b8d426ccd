"""Metric families for clips, frames, segments and events, at one threshold or at all."""
