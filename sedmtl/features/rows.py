"""Computation of a block of rows by a worker, either a thread or a cluster process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sedmtl.config import Features, Mixing
from sedmtl.data.audio import Audio
from sedmtl.features.encoder import Encoder, EncoderError, open_encoder
from sedmtl.features.front_end import FrontEnd
from sedmtl.features.targets import TARGETS, ReadEvents, make_targets, target_arrays
from sedmtl.logmel import LogMel, n_frames
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.shards import SHARE, Arrays
from sedmtl.store import RowArray

Read = Callable[[Any], Iterable[Audio]]
"""A block -> audio (n_samples,) of each of its rows."""

How = tuple[int, Features, Path | None]
"""Sample rate, feature settings, and the encoder's file if there is one."""


def feature_arrays(
    mixing: Mixing, settings: Features, encoder: Encoder | None, n_slots: int
) -> dict[str, RowArray]:
    """The large arrays of a feature store by name.

    Args:
        mixing: Determines the length of clips.
        settings: Settings of the log-mel.
        encoder: The encoder of the frames, if any.
        n_slots: Most events in a clip if separate events are stored, otherwise 0.
    """
    row_shape = (n_frames(mixing.n_samples, settings.window, settings.hop), settings.n_mels)
    arrays = {"logmel": RowArray(row_shape, np.float32)}
    if encoder is not None:
        arrays["frames"] = encoder.rows_of(mixing.duration_s)
    return arrays | (target_arrays(n_slots, *row_shape) if n_slots else {})


def open_front_end(rate: int, settings: Features, encoder_path: Path | None) -> FrontEnd:
    """Open the front end; its parts are built once per process.

    Raises:
        SedmtlError: The log-mel settings are impossible, the encoder cannot be run, or its sample
            rate is higher than that of the clips.
    """
    logmel, encoder = _logmel(rate, settings), None
    if settings.encoder is not None and encoder_path is not None:
        encoder = open_encoder(settings.encoder, encoder_path)
        encoder.check_rate(rate)
    return FrontEnd(logmel, encoder)


@lru_cache(maxsize=1)
def _logmel(rate: int, settings: Features) -> LogMel:
    """Build the log-mel here: passed as an argument, its filters would be sent with every block."""
    return LogMel(rate, **settings.logmel)


def features_of(rows: Sequence[Any], read: Read, how: How, deciding: str) -> Arrays:
    """Compute the network inputs of a block.

    Args:
        rows: The block.
        read: Reads its audio.
        how: Arguments of `open_front_end`.
        deciding: `EncoderCard.deciding` of the encoder; empty without one.

    Raises:
        SedmtlError: A worker finds another encoder, or the encoder fails on a row.
    """
    torch.set_num_threads(1)  # not set yet on a cluster worker
    front_end = open_front_end(*how)
    if front_end.encoder is not None and front_end.encoder.card.deciding != deciding:
        raise SedmtlError(f"a worker finds another encoder at {how[2]}: {SHARE}")
    each = [_features_of_row(front_end, *pair) for pair in zip(rows, read(rows), strict=True)]
    return {name: np.stack([arrays[name] for arrays in each]) for name in each[0]}


def _features_of_row(front_end: FrontEnd, row: object, waveform: Audio) -> Arrays:
    try:
        return front_end(waveform)
    except EncoderError as error:
        raise error.where(f"mixture {row}" if isinstance(row, int) else row) from error


def targets_of(rows: range, read: ReadEvents, how: How, n_slots: int, n_samples: int) -> Arrays:
    """Compute the targets of auxiliary tasks for a block, from its separate events."""
    logmel = _logmel(*how[:2])
    with torch.inference_mode():
        made = [make_targets(TARGETS, each, n_samples, n_slots, logmel) for each in read(rows)]
    return {name: torch.stack([each[name] for each in made]).numpy() for name in TARGETS}


def all_of(parts: Sequence[Callable[[Any], Arrays]], rows: Any) -> Arrays:
    """Join the arrays that several functions compute for a block."""
    return {name: array for part in parts for name, array in part(rows).items()}
