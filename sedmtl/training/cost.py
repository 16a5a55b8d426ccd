"""What training costs, measured on a few clips before it begins."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sedmtl.training.loop import Trainer

ENOUGH_S = 1.0
"""A step of this length is the last that is timed."""

PEAK = 1.9
"""Peak memory of a step over what its backward pass needs, measured as a process's growth on a CPU:
1.65 to 1.92 (pooled and crnn at batch 24, 2APAE of width 8 at batch 8; float32, bfloat16)."""


class Cost(NamedTuple):
    """The cost of a run.

    Attributes:
        epoch_s: Seconds per epoch, with scoring.
        n_bytes: Largest memory of weights and activations, of a GPU or of the machine; the
            interpreter and its libraries (0.5 GB) come on top on the CPU.
    """

    epoch_s: float
    n_bytes: int


def measure_cost(trainer: Trainer) -> Cost:
    """Time steps of more and more clips, up to a batch, until one is long enough to trust.

    One clip of the paper's network takes 3 s on two cores, and a batch of 24 more than a minute:
    the time of the last measurement is scaled. The trainer is left as it was.
    """
    state = deepcopy(trainer.state())
    n_bytes = _n_bytes_saved(trainer)
    n_clips, seconds = 1, _seconds_of_steps(trainer, 1)
    rate, batch_size = n_clips / seconds, trainer.config.batch_size
    while seconds < ENOUGH_S and n_clips < batch_size:
        n_clips = min(4 * n_clips, batch_size)
        seconds = _seconds_of_steps(trainer, n_clips)
        rate = max(rate, n_clips / seconds)
    started = time.monotonic()
    scored = np.resize(trainer.split.train, n_clips)
    trainer.score(scored)
    scoring_rate = trainer.n_rows(scored) / (time.monotonic() - started)
    trainer.restore(state)
    trainer.waited_s = 0.0
    n_scored = trainer.n_rows(trainer.split.validation) + trainer.n_rows(trainer.split.held_out)
    epoch_s = trainer.n_clips / rate + n_scored / scoring_rate
    n_weights = sum(p.numel() * p.element_size() for p in trainer.network.parameters())
    # Weights, their gradients, Adam's two means.
    return Cost(epoch_s, 4 * n_weights + round(PEAK * n_bytes * batch_size))


def _seconds_of_steps(trainer: Trainer, n_clips: int) -> float:
    trainer.network.train()
    started = time.monotonic()
    for _, losses in trainer.steps(np.resize(trainer.split.train, n_clips)):
        losses.cpu()  # waits for the GPU
    return time.monotonic() - started


def _n_bytes_saved(trainer: Trainer) -> int:
    """Bytes that the backward pass of one clip needs: those of a step, the first and slowest."""
    weights = {p.untyped_storage().data_ptr() for p in trainer.network.parameters()}
    sizes: dict[int, int] = {}

    def count(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        _seconds_of_steps(trainer, 1)
    return sum(sizes.values())
