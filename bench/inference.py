"""Clip scores on a feature store: by sedmtl's `Trainer`, and plainly."""

from __future__ import annotations

from functools import partial

from bench.runner import Family, Stage
from bench.training import cheap_stages, limit, ours, plain

FAMILY = Family(
    (
        Stage(
            "inference",
            "clips/s",
            *(partial(side, training=False) for side in (ours, plain, limit)),
            n_laps=2,
        ),
        *cheap_stages("inference", training=False),
    ),
    "the same network in float32, contiguous, with the decoder; of pooled and crnn, the paper's "
    "network as sedmtl scores it",
    "its convolutions and matrix products without the decoder at the best GFLOP/s",
    needs="features",
)
