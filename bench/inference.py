"""Scoring clips with `Trainer.score`, beside the plain way."""

from __future__ import annotations

from itertools import islice

import numpy as np

from bench.lap import Lap, Run, seconds_of
from bench.limits import arithmetic
from bench.networks import PlainNetwork, gflop_of, open_store, recipe_of, trainer_of
from bench.settings import Settings
from bench.training import gpu_peak, n_steps
from sedmtl.runtime import memory


def trainer(settings: Settings) -> Run:
    """Clip scores without the decoder, the reading of features included."""
    memory.keep()  # as the command line does
    made = trainer_of(settings, open_store(settings))
    rows = np.resize(made.split.train, n_steps() * settings.batch)

    def run() -> Lap:
        return Lap(seconds_of(lambda: made.score(rows)), len(rows), 10 * len(rows), gpu_peak())

    return run


def plain(settings: Settings) -> Run:
    """In float32 with the decoder."""
    with open_store(settings) as store:
        network = PlainNetwork(settings, store)
    network.network.eval()
    given = network.batches()

    def work() -> None:
        for logmel, _ in islice(given, n_steps()):
            network.score(logmel)

    n_clips = n_steps() * settings.batch
    return lambda: Lap(seconds_of(work), n_clips, 10 * n_clips, gpu_peak())


def limit(settings: Settings) -> Run:
    """The arithmetic of scoring."""
    in_bfloat16 = recipe_of(settings).precision == "bfloat16"
    return arithmetic(settings, gflop_of(settings, training=False), 1, in_bfloat16)
