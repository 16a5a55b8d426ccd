"""Alignment of a frozen encoder's frames with those of a log-mel."""

from __future__ import annotations

from sedmtl.data.grid import Grid
from sedmtl.models.frame_input import FrameInput
from sedmtl.store import EncoderCard, Store


def frame_input(encoder: EncoderCard | None, logmel: Grid) -> FrameInput | None:
    """What networks need to know about an encoder's frames; None without an encoder."""
    if encoder is None:
        return None
    rate_hz = encoder.rate_hz
    return FrameInput(encoder.n_dims, logmel.first_edge_s * rate_hz, logmel.hop_s * rate_hz)


def frames_of(store: Store) -> FrameInput | None:
    """`frame_input` of a feature store that is opened for its log-mel."""
    return None if store.encoder is None else frame_input(store.encoder, logmel_grid(store))


def logmel_grid(store: Store) -> Grid:
    """Frame grid of the log-mel of a feature store."""
    made, (n_frames, _) = store.attributes, store.shape_of("logmel")
    return Grid(made["sample_rate"], made["n_samples"], n_frames, made["window"], made["hop"])
