"""What training costs, measured on a little noise before it begins; and what of a batch fits.

Neither a store nor a corpus is needed: time and memory depend on sizes alone.
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
from sedmtl.data.frame_times import frames_of
from sedmtl.data.mixing import plan_project
from sedmtl.data.sources import planned_bytes
from sedmtl.features.targets import target_arrays
from sedmtl.logmel import Standardiser
from sedmtl.models.frame_input import FrameInput
from sedmtl.models.heads import Sizes
from sedmtl.runtime import distributed, progress
from sedmtl.runtime.free_memory import free_bytes
from sedmtl.store import ClipTable, Store
from sedmtl.training.bags import MAX_WINDOWS
from sedmtl.training.batches import BatchLoader, fits
from sedmtl.training.config import TrainConfig
from sedmtl.training.known import shapes_of
from sedmtl.training.loop import Trainer
from sedmtl.training.split import Split, split_rows
from sedmtl.training.tasks import arrays_of, build_tasks

ENOUGH_S = 1.0
"""A step that would take longer is not timed."""

N_SCENES = 10
"""Stands for the number of classes of scenes, which hardly matters."""

PART, FEW_FRAMES = 8, 32
"""The first probe has this part of a clip's frames, but at least so many: a clip of the paper's
network takes 3 s on two cores, and both time and memory grow with the frames."""

PEAK = 1.9
"""Peak memory of a step over what its backward pass needs, measured as a process's growth on a CPU:
1.65 to 1.92 (pooled and crnn at batch 24, 2APAE of width 8 at batch 8; float32, bfloat16)."""

USABLE = 0.8
"""Share of the free memory that training may take: the estimate is no measurement."""


class Workload(NamedTuple):
    """The sizes that the cost of a run follows from.

    Attributes:
        n_train: Windows of recordings, or clips of one window, that are learned from per epoch.
        n_scored: Those that are scored after each epoch.
        n_windows: Largest number of windows of a recording that go through the network together.
        frames: Of a frozen encoder, if there is one.
    """

    n_classes: int
    n_frames: int
    n_mels: int
    n_train: int
    n_scored: int
    n_windows: int = 1
    frames: FrameInput | None = None

    @classmethod
    def of_clips(
        cls,
        clips: ClipTable,
        n_classes: int,
        n_frames: int,
        n_mels: int,
        fold: int,
        frames: FrameInput | None = None,
    ) -> Workload:
        """With a fold held out.

        Raises:
            SedmtlError: As of `split_rows`.
        """
        split = split_rows(clips, fold)
        n_scored = sum(len(clips.rows_of(part)[0]) for part in split.scored.values())
        n_each = np.minimum(np.bincount(clips.rows_of(split.train)[1]), MAX_WINDOWS)
        sizes = (int(n_each.sum()), n_scored, int(n_each.max()))
        return cls(n_classes, n_frames, n_mels, *sizes, frames)

    @classmethod
    def of_store(cls, store: Store, fold: int) -> Workload:
        """With a fold of a store held out; raises as `of_clips`."""
        n_frames, n_mels = store.row_shape
        sizes = (len(store.classes), n_frames, n_mels)
        return cls.of_clips(store.clips, *sizes, fold, frames_of(store))

    def inputs(self, n_clips: int) -> dict[str, npt.NDArray[np.float32]]:
        """Noise in place of what networks take, by name."""
        shapes = {"logmel": (self.n_frames, self.n_mels)}
        if self.frames is not None:
            n_frames = max(1, round(self.n_frames * self.frames.step))
            shapes["frames"] = (n_frames, self.frames.n_dims)
        rng = np.random.default_rng(0)
        return {
            name: rng.normal(size=(n_clips, *shape)).astype(np.float32)
            for name, shape in shapes.items()
        }


class Cost(NamedTuple):
    """What a window costs: a clip, or a part of a longer recording.

    Attributes:
        train_s: Seconds of training for each window.
        score_s: Seconds of scoring for each window.
        weight_bytes: Weights, gradients and the optimiser's state, of a GPU or of the machine; the
            interpreter and its libraries (0.5 GB) come on top on the CPU.
        window_bytes: Largest memory of each that goes through the network at once.
    """

    train_s: float
    score_s: float
    weight_bytes: int
    window_bytes: int

    def epoch_s(self, config: TrainConfig, load: Workload) -> float:
        """Seconds per epoch, with scoring."""
        return config.n_clips(load.n_train) * self.train_s + load.n_scored * self.score_s

    def n_bytes(self, load: Workload, n_at_once: int) -> int:
        """Largest memory with so many clips at once."""
        return self.weight_bytes + n_at_once * load.n_windows * self.window_bytes


def measure_cost(config: TrainConfig, load: Workload, device: torch.device) -> Cost:
    """Time steps of more and more frames, then clips, until one is long enough to trust.

    Args:
        config: What to train.
        load: Its sizes.
        device: Where.
    """
    rate = 0.0
    for share, trainer in _probes(config, load, device):
        if not rate:
            weight_bytes, window_bytes = _measure_memory(share, trainer)
        elif share / rate > ENOUGH_S:
            break
        rate = max(rate, share / _seconds_of_step(trainer))
        timed = share, trainer
    share, trainer = timed
    started = time.monotonic()
    trainer.score(trainer.split.train)
    score_s = (time.monotonic() - started) / share
    return Cost(1 / rate, score_s, weight_bytes, window_bytes)


def _measure_memory(share: float, trainer: Trainer) -> tuple[int, int]:
    """`Cost.weight_bytes` and `Cost.window_bytes`, from the first step, which is the slowest."""
    window_bytes = round(PEAK * _n_bytes_saved(trainer) / share)
    n_weights = sum(p.numel() * p.element_size() for p in trainer.network.parameters())
    return 4 * n_weights, window_bytes  # weights, their gradients, Adam's two means


def choose_micro_batch(
    config: TrainConfig, load: Workload, device: torch.device, source_bytes: int = 0
) -> int | None:
    """Clips at once, so that memory holds them; None for a whole batch.

    The batch is halved until it fits, so that a little more or less free memory changes nothing.
    Processes that train together take the measured step together; the first one decides for all.

    Args:
        config: Of the run.
        load: Its sizes.
        device: Of this process; on the CPU, those that train together share the memory.
        source_bytes: As of `source_bytes`.
    """
    memory = _measure_memory(*next(_probes(config, load, device)))
    cost = Cost(0.0, 0.0, *memory)
    return distributed.first(lambda: _fit(config, load, device, cost, source_bytes))


def source_bytes(project: Config, config: TrainConfig, device: torch.device) -> int:
    """What events and scenes take on a GPU that has room for them; nothing elsewhere.

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
    # The log-mels will be on a GPU that has room for them, then the sources of new mixtures: see
    # `open_trainer`.
    inputs = load.inputs(1)
    n_values = sum(inputs[name].size for name in config.network.inputs)
    store_bytes = 4 * (load.n_train + load.n_scored) * n_values
    for n_bytes in (store_bytes, source_bytes):
        free -= n_bytes if n_bytes and fits(n_bytes, device) else 0
    n_processes = distributed.world_size()
    n_sharing = n_processes if device.type == "cpu" else 1

    def needed(n_clips: int) -> int:
        return n_sharing * cost.n_bytes(load, -(-n_clips // n_processes))

    n_clips = config.batch_size
    while needed(n_clips) > USABLE * free and n_clips > n_processes:
        n_clips = max(n_processes, -(-n_clips // 2))
    found = f"{progress.size_text(free)} of memory are free"
    if needed(n_clips) > free:
        progress.say(
            f"warning: {found}, and {n_clips} clip{'s' * (n_clips > 1)} at once may take "
            f"{progress.size_text(needed(n_clips))}: a smaller --width takes less"
        )
    if n_clips == config.batch_size:
        return None
    progress.say(
        f"{found}, and a batch of {config.batch_size} clips may take "
        f"{progress.size_text(needed(config.batch_size))}: it goes through the network {n_clips} "
        "at a time, and the gradients add up; batch norm normalises each part by itself"
    )
    return n_clips


def _probes(
    config: TrainConfig, load: Workload, device: torch.device
) -> Iterator[tuple[float, Trainer]]:
    """Trainers on more and more noise, and how many clips of full length it stands for."""
    shortest = min(load.n_frames, max(load.n_frames // PART, FEW_FRAMES))
    for n_frames in dict.fromkeys((shortest, load.n_frames)):
        share = n_frames / load.n_frames
        yield share, _trainer(config, load._replace(n_frames=n_frames), 1, device)
    n_clips = 1
    while n_clips < config.n_at_once:
        n_clips = min(4 * n_clips, config.n_at_once)
        yield n_clips, _trainer(config, load, n_clips, device)


def _trainer(config: TrainConfig, load: Workload, n_clips: int, device: torch.device) -> Trainer:
    sizes = Sizes(load.n_classes, load.n_frames, load.n_mels, N_SCENES * ("",))
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.zeros((n_clips, *shape), np.uint8)
        for name, shape in shapes_of(load.n_classes, load.n_frames).items()
    }
    stored = target_arrays(load.n_classes, load.n_frames, load.n_mels)
    for name in stored.keys() & set(arrays_of(config.tasks)):
        shape, dtype = stored[name]
        arrays[name] = np.zeros((n_clips, *shape), dtype)
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (n_clips, load.n_classes)).astype(np.uint8)
    inputs = load.inputs(n_clips)
    arrays |= inputs
    reads = {name: partial(np.take, each, axis=0) for name, each in arrays.items()}
    loader = BatchLoader(reads, target, device, resident=False)
    network = config.network.build(load.n_classes, load.n_frames, load.n_mels, load.frames)
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
    """Bytes that the backward pass of a step needs."""
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
