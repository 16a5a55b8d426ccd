"""Time and memory of training, estimated on noise before it starts; choice of the micro-batch.

No store or corpus is needed: time and memory depend on sizes alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.config import Config
from sedmtl.data.mixing import plan_project
from sedmtl.data.sources import planned_bytes
from sedmtl.features.targets import target_arrays
from sedmtl.logmel import Standardiser
from sedmtl.models.heads import Sizes
from sedmtl.runtime import distributed, progress
from sedmtl.runtime.free_memory import free_bytes
from sedmtl.runtime.text import counted
from sedmtl.training.batches import BatchLoader, fits
from sedmtl.training.config import TrainConfig
from sedmtl.training.known import known_arrays
from sedmtl.training.loop import Trainer
from sedmtl.training.split import Split
from sedmtl.training.start import resident_bytes
from sedmtl.training.tasks import arrays_of, build_tasks
from sedmtl.training.workload import Workload

ENOUGH_S = 1.0
"""Steps expected to take longer are not timed."""

BRIEF_S = 10.0
"""Training expected to take less by the first probe, which overestimates small networks, is not
probed further: that took half of the processor time of a training of 0.4 s."""

N_SCENES = 10
"""Assumed number of scene classes; it hardly affects the cost."""

N_PRESENT = 3
"""Assumed number of classes per clip; likewise."""

PART, FEW_FRAMES = 16, 16
"""The first probe uses 1/PART of a clip's frames, but at least FEW_FRAMES: a whole clip takes the
paper's network 3 s on two cores, and time and memory both scale with frames. Extrapolated from 16
frames, the single-thread CPU time of a 311-frame clip was 2 to 13 % too high (2apae, gap, gwrp),
and the memory correct."""

PEAK = 1.9
"""Ratio of a step's peak memory to the tensors saved for backward, measured as process growth on a
CPU: 1.65 to 1.92 (pooled and crnn at batch 24, 2APAE of width 8 at batch 8; float32, bfloat16)."""

USABLE = 0.8
"""Share of free memory that training may use: the estimate is not exact."""


class Cost(NamedTuple):
    """Cost per window, which is a clip or a part of a longer recording.

    Attributes:
        train_s: Training time per window.
        score_s: Scoring time per window.
        weight_bytes: Memory of weights, gradients and optimiser state. On the CPU, the interpreter
            and its libraries need another 0.5 GB.
        window_bytes: Peak memory per window in a training step.
    """

    train_s: float
    score_s: float
    weight_bytes: int
    window_bytes: int

    def epoch_s(self, config: TrainConfig, load: Workload) -> float:
        """Seconds per epoch, including scoring."""
        return config.n_clips(load.n_train) * self.train_s + load.n_scored * self.score_s

    def n_bytes(self, load: Workload, n_at_once: int) -> int:
        """Peak memory with `n_at_once` clips per forward pass."""
        return self.weight_bytes + n_at_once * load.n_windows * self.window_bytes


def measure_cost(config: TrainConfig, load: Workload, device: torch.device) -> Cost:
    """Time steps with more and more frames, then clips, until one is long enough to be reliable.

    Args:
        config: The run.
        load: Its sizes.
        device: The device to measure.
    """
    rate, n_clips = 0.0, config.epochs * config.n_clips(load.n_train)
    for share, trainer in _probes(config, load, device):
        if not rate:
            weight_bytes, window_bytes = _measure_memory(share, trainer)
        elif share / rate > ENOUGH_S or n_clips / rate < BRIEF_S:
            break
        rate = max(rate, share / _seconds_of_step(trainer))
        timed = share, trainer
    share, trainer = timed
    started = time.monotonic()
    trainer.score(trainer.split.train)
    score_s = (time.monotonic() - started) / share
    return Cost(1 / rate, score_s, weight_bytes, window_bytes)


def _measure_memory(share: float, trainer: Trainer) -> tuple[int, int]:
    """`Cost.weight_bytes` and `Cost.window_bytes`; also serves as the warm-up step."""
    window_bytes = round(PEAK * _n_bytes_saved(trainer) / share)
    n_weights = sum(p.numel() * p.element_size() for p in trainer.network.parameters())
    return 4 * n_weights, window_bytes  # weights, their gradients, Adam's two means


def choose_micro_batch(
    config: TrainConfig, load: Workload, device: torch.device, source_bytes: int = 0
) -> int | None:
    """Choose the clips per forward pass that fit in memory; None for a whole batch.

    The batch is halved until it fits, so that small changes in free memory do not matter. In
    distributed training all processes run the measured step, and the first one decides.

    Args:
        config: The run.
        load: Its sizes.
        device: Device of this process; on the CPU, all processes share the memory.
        source_bytes: As returned by `source_bytes`.
    """
    memory = _measure_memory(*next(_probes(config, load, device)))
    cost = Cost(0.0, 0.0, *memory)
    return distributed.first(lambda: _fit(config, load, device, cost, source_bytes))


def source_bytes(project: Config, config: TrainConfig, device: torch.device) -> int:
    """Bytes of decoded events and scenes that a GPU would hold; 0 elsewhere.

    Raises:
        SedmtlError: The corpora cannot be read.
    """
    if config.remix is None or config.data == "clips" or device.type != "cuda":
        return 0
    return planned_bytes(project, plan_project(project), config.remix.event_part)


def _fit(
    config: TrainConfig, load: Workload, device: torch.device, cost: Cost, source_bytes: int
) -> int | None:
    free = free_bytes(device)
    # A GPU with enough room keeps the store, then the sources of new mixtures; see `open_trainer`.
    store_bytes = resident_bytes(config, load.arrays, load.n_classes, load.n_rows)
    for n_bytes in (store_bytes, source_bytes):
        free -= n_bytes if n_bytes and fits(n_bytes, device) else 0
    n_processes = distributed.world_size()
    n_sharing = n_processes if device.type == "cpu" else 1

    def needed(n_clips: int) -> int:
        return n_sharing * cost.n_bytes(load, -(-n_clips // n_processes))

    n_clips = config.batch_size
    while needed(n_clips) > USABLE * free and n_clips > n_processes:
        n_clips = max(n_processes, -(-n_clips // 2))
    found = f"{progress.size_text(free)} of memory is free"
    if needed(n_clips) > free:
        progress.say(
            f"warning: {found}, and {counted(n_clips, 'clip')} at once may take "
            f"{progress.size_text(needed(n_clips))}: a smaller --width needs less"
        )
    if n_clips == config.batch_size:
        return None
    progress.say(
        f"{found}, and a batch of {config.batch_size} clips may take "
        f"{progress.size_text(needed(config.batch_size))}: it is split into micro-batches of "
        f"{n_clips}, and the gradients add up; batch norm normalises each part separately"
    )
    return n_clips


def _probes(
    config: TrainConfig, load: Workload, device: torch.device
) -> Iterator[tuple[float, Trainer]]:
    """Yield trainers on growing amounts of noise, each with its size in full-length clips."""
    _, n_frames, _ = load.sizes
    shortest = min(n_frames, max(n_frames // PART, FEW_FRAMES))
    for n_some in dict.fromkeys((shortest, n_frames)):
        share = n_some / n_frames
        yield share, _trainer(config, load, 1, device, share)
    n_clips = 1
    while n_clips < config.n_at_once:
        n_clips = min(4 * n_clips, config.n_at_once)
        yield n_clips, _trainer(config, load, n_clips, device)


def _trainer(
    config: TrainConfig, load: Workload, n_clips: int, device: torch.device, share: float = 1.0
) -> Trainer:
    """A trainer on noise; each clip has `share` of the frames."""
    inputs = load.noise(n_clips, share)
    n_frames, n_mels = inputs["logmel"].shape[1:]
    sizes = Sizes(load.n_classes, n_frames, n_mels, N_SCENES * ("",))
    n_present = min(N_PRESENT, load.n_classes)
    target = np.zeros((n_clips, load.n_classes), np.uint8)
    target[:, :n_present] = 1
    known = known_arrays(load.n_classes, n_frames)
    learned = {**known, **target_arrays(n_present, n_frames, n_mels)}
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.zeros((n_clips, *learned[name].row_shape), learned[name].dtype)
        for name in (*known, *arrays_of(config.tasks))
    }
    arrays |= inputs
    reads = {name: partial(np.take, each, axis=0) for name, each in arrays.items()}
    loader = BatchLoader(reads, target, device, resident=False)
    network = config.network.build(load.n_classes, n_frames, n_mels, load.frames)
    ones = {name: np.ones(each.shape[-1]) for name, each in inputs.items()}
    standardisers = {name: Standardiser(0 * each, each) for name, each in ones.items()}
    rows = np.arange(n_clips)
    split = Split(rows, rows[:0], rows[:0])
    tasks = build_tasks(config.tasks, config.network, sizes)
    return Trainer(network, tasks, standardisers, loader, target, split, config, device)


def _seconds_of_step(trainer: Trainer) -> float:
    trainer.set_training()
    started = time.monotonic()
    for _, losses in trainer.steps(trainer.split.train):
        losses.cpu()  # waits for the GPU
    return time.monotonic() - started


def _n_bytes_saved(trainer: Trainer) -> int:
    """Bytes of tensors that a step saves for its backward pass."""
    weights = {p.untyped_storage().data_ptr() for p in trainer.network.parameters()}
    sizes: dict[int, int] = {}

    def count(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        _seconds_of_step(trainer)
    return sum(sizes.values())
