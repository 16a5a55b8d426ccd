"""A training step of `Trainer`, beside the plain one."""

from __future__ import annotations

import time
from itertools import islice

import numpy as np
import torch

from bench.lap import Lap, Run, seconds_of
from bench.limits import arithmetic
from bench.networks import PlainNetwork, gflop_of, open_store, recipe_of, trainer_of
from bench.settings import Settings
from sedmtl.runtime import memory

N_STEPS_ON_GPU = 20
"""Steps of a lap, where one takes milliseconds; a CPU takes seconds for one."""

N_STEPS_AT_MOST = 1_000
"""Of all laps together."""


def n_steps() -> int:
    """Of a lap."""
    return N_STEPS_ON_GPU if torch.cuda.is_available() else 1


def trainer(settings: Settings, compiled: bool = False) -> Run:
    """Steps of `Trainer`, from the store on; compiled: of a compiled network."""
    memory.keep()  # as the command line does
    made = trainer_of(settings, open_store(settings))
    if compiled:
        made.network.compile()
    made.network.train()
    # One run of all laps: as in an epoch, a batch is read while the one before is computed with.
    steps = made.steps(np.resize(made.split.train, N_STEPS_AT_MOST * settings.batch))

    def work() -> None:
        *_, (_, losses) = islice(steps, n_steps())
        losses.cpu()  # waits for the GPU

    def run() -> Lap:
        waited_s = made.feed.waited_s
        seconds = seconds_of(work)
        return _lap(seconds, made.feed.waited_s - waited_s, settings)

    return run


def plain(settings: Settings) -> Run:
    """Plain steps, the loss fetched at each."""
    with open_store(settings) as store:
        network = PlainNetwork(settings, store)
    given = network.batches()

    def run() -> Lap:
        started, waited_s = time.perf_counter(), 0.0
        for _ in range(n_steps()):
            asked = time.perf_counter()
            logmel, target = next(given)
            waited_s += time.perf_counter() - asked
            network.step(logmel, target)
        return _lap(time.perf_counter() - started, waited_s, settings)

    return run


def limit(settings: Settings) -> Run:
    """The arithmetic of a step."""
    in_bfloat16 = recipe_of(settings).precision == "bfloat16"
    return arithmetic(settings, gflop_of(settings, training=True), 1, in_bfloat16)


def gpu_peak() -> dict[str, float]:
    """Of this process's tensors, where there is a GPU."""
    if not torch.cuda.is_available():
        return {}
    return {"MB of the GPU": torch.cuda.max_memory_allocated() / 1024**2}


def _lap(seconds: float, waited_s: float, settings: Settings) -> Lap:
    n_clips = n_steps() * settings.batch
    notes = {"% of the time waits for data": 100 * waited_s / seconds, **gpu_peak()}
    return Lap(seconds, n_clips, 10 * n_clips, notes)
