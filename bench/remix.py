"""Mixtures drawn while training: made alone, and beside the steps of the network `pooled`."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, islice

import numpy as np
import torch

from bench.features import limit
from bench.project import Settings
from bench.runner import Family, Lap, Run, Stage, seconds_of
from bench.training import config_of, open_store
from sedmtl.config import Remix, load_config
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.process import keep_memory
from sedmtl.store import Store, batches
from sedmtl.training.loop import Trainer
from sedmtl.training.start import open_trainer

N_STEPS = 100 if torch.cuda.is_available() else 8


def remixing(settings: Settings, store: Store) -> Trainer:
    """A trainer of `pooled` with new mixtures, as many per epoch as a lap of features has clips."""
    keep_memory()
    remix = Remix(mixtures_per_epoch=settings.n_mixtures)
    config = replace(config_of(settings, "pooled"), remix=remix)
    return open_trainer(config, store, choose_device(None), load_config(settings.shared))


def alone(settings: Settings) -> Run:
    """The batches of an epoch, drawing included, and nothing else."""
    remixer = remixing(settings, open_store(settings)).remixer
    assert remixer is not None
    epochs = count(1)

    def work() -> None:
        rows = batches(np.arange(remixer.n_clips), settings.batch)
        for _ in remixer.loader(next(epochs)).run(rows):
            pass

    n_clips = settings.n_mixtures
    return lambda: Lap(seconds_of(work), n_clips, 10 * n_clips)


def beside(settings: Settings) -> Run:
    """Steps of `pooled` on new mixtures, with the share of the time that they were waited for."""
    trainer = remixing(settings, open_store(settings))
    assert trainer.remixer is not None
    trainer.network.train()
    n_clips = N_STEPS * settings.batch
    loader = trainer.remixer.loader(1)
    steps = trainer.steps(np.resize(np.arange(trainer.n_clips), 1_000 * settings.batch), loader)

    def run() -> Lap:
        before_s = trainer.waited_s
        seconds = seconds_of(lambda: [loss.cpu() for _, loss in islice(steps, N_STEPS)])
        waited = 100 * (trainer.waited_s - before_s) / seconds
        return Lap(seconds, n_clips, 10 * n_clips, {"% of the time waiting for data": waited})

    return run


FAMILY = Family(
    (
        Stage("remix", "clips/s", alone, limit=limit),
        Stage("training step, pooled, remix", "clips/s", beside, n_laps=2),
    ),
    "none",
    "FFT and mel product of each frame, on all cores",
    needs="features",
)
