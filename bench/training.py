"""Training steps and clip scores on a feature store: by sedmtl's `Trainer`, and plainly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice, repeat

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from bench.arithmetic import network_gflop, time_at_best
from bench.project import SNR_DB, Settings
from bench.runner import Earlier, Family, Lap, Run, Stage, seconds_of
from sedmtl.config import load_config
from sedmtl.models import SedOutput
from sedmtl.models.registry import PAPERS
from sedmtl.runtime.devices import choose_device, choose_precision
from sedmtl.runtime.process import keep_memory
from sedmtl.store import Store
from sedmtl.training.batches import BatchLoader
from sedmtl.training.config import TrainConfig, build_network
from sedmtl.training.loop import Trainer
from sedmtl.training.split import split_rows
from sedmtl.training.start import open_trainer

ALPHA = 0.001
N_STEPS = 20 if torch.cuda.is_available() else 1
"""Steps per lap: milliseconds each on a GPU, seconds on a CPU."""

MAX_STEPS = 1_000
"""Of all laps together."""


def ours(settings: Settings, *, training: bool, compiled: bool = False, model: str = PAPERS) -> Run:
    """Steps or clip scores by `Trainer`, reading the store included; scoring runs no decoder."""
    keep_memory()  # as the command line does
    trainer = trainer_of(settings, open_store(settings), model)
    if compiled:
        trainer.network.compile()
    trainer.network.train(training)
    rows = np.resize(trainer.split.train, MAX_STEPS * settings.batch)
    # One run for all laps: as in an epoch, a batch is read while the previous one is used.
    steps = trainer.steps(rows)

    def work() -> None:
        if training:
            *_, (_, losses) = islice(steps, N_STEPS)
            losses.cpu()  # waits for the GPU
        else:
            trainer.score(rows[: N_STEPS * settings.batch])

    return _timed(settings, work, trainer.loader)


def plain(settings: Settings, *, training: bool) -> Run:
    """Plain steps, the loss fetched after each; or plain scoring, with the decoder."""
    with open_store(settings) as store:
        network = PlainNetwork(settings, store)
    network.network.train(training)
    batches = network.batches()

    def work() -> None:
        for logmel, target in islice(batches, N_STEPS):
            if training:
                network.step(logmel, target)
            else:
                network.score(logmel)

    return _timed(settings, work, network)


def _timed(settings: Settings, work: Callable[[], None], source: BatchLoader | PlainNetwork) -> Run:
    """Laps of `N_STEPS` batches, with the share of the time that they were waited for."""

    def run() -> Lap:
        before_s = source.waited_s
        seconds = seconds_of(work)
        notes = {"% of the time waiting for data": 100 * (source.waited_s - before_s) / seconds}
        if torch.cuda.is_available():
            notes["MB on the GPU"] = torch.cuda.max_memory_allocated() / 1024**2
        n_clips = N_STEPS * settings.batch
        return Lap(seconds, n_clips, 10 * n_clips, notes)

    return run


def limit(settings: Settings, *, training: bool) -> Run:
    """The arithmetic of a clip; training includes the decoder and the backward pass."""
    with open_store(settings) as store:
        sizes = len(store.classes), *store.row_shape
    return time_at_best(settings, network_gflop(*sizes, settings.width, training=training), 1)


def open_store(settings: Settings) -> Store:
    """The shared project's features."""
    path = load_config(settings.shared).work_dir / "features" / f"snr_{SNR_DB}.h5"
    return Store(path, "logmel")


def config_of(settings: Settings, model: str = PAPERS) -> TrainConfig:
    """A network, in the precision that sedmtl would choose here; only the paper's has a width."""
    recipe = {"data": f"snr_{SNR_DB}", "fold": 1, "model": model, "alpha": ALPHA}
    recipe |= {"batch_size": settings.batch, "precision": choose_precision(choose_device(None))}
    return TrainConfig.of(recipe | ({"width": settings.width} if model == PAPERS else {}))


def trainer_of(settings: Settings, store: Store, model: str = PAPERS) -> Trainer:
    """The trainer with which `sedmtl train` begins."""
    return open_trainer(config_of(settings, model), store, choose_device(None))


class PlainNetwork:
    """The paper's network as a first script would run it.

    float32, tensors contiguous, the decoder always on, all features in memory as arrays that
    `DataLoader` batches.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        config = config_of(settings)
        split = split_rows(store.clips, config.fold)
        n_clips = len(split.train)
        assert n_clips >= settings.batch, f"batches of {settings.batch} from {n_clips} clips"
        frames = store.read(split.training_folds).astype(np.float64)
        mean, std = frames.mean(axis=(0, 1)), frames.std(axis=(0, 1))
        logmel = ((store.read(split.train) - mean) / std).astype(np.float32)
        target = store.clips.target[split.train].astype(np.float32)
        arrays = TensorDataset(torch.from_numpy(logmel), torch.from_numpy(target))
        self._loader = DataLoader(arrays, settings.batch, drop_last=True)
        self.waited_s = 0.0
        self._device = choose_device(None)
        self.network: nn.Module = build_network(config, store).to(self._device)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=config.lr)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Standardised log-mels (B, T, F) and targets (B, C), without end."""
        endless = chain.from_iterable(repeat(self._loader))
        while True:
            asked = time.perf_counter()
            logmel, target = next(endless)
            self.waited_s += time.perf_counter() - asked
            yield logmel.to(self._device), target.to(self._device)

    def step(self, logmel: Tensor, target: Tensor) -> float:
        """Learn from a batch; returns the loss."""
        output: SedOutput = self.network(logmel)
        detection = F.binary_cross_entropy(output.clip.clamp(0, 1), target)
        loss = detection + ALPHA * F.mse_loss(output.reconstruction, logmel)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return loss.item()

    def score(self, logmel: Tensor) -> Tensor:
        """(B, T, F) -> (B, C)."""
        with torch.no_grad():
            return self.network(logmel).clip.cpu()


def _stages(name: str, *, training: bool) -> list[Stage]:
    """The paper's network beside a plain one, and the cheap networks beside the paper's."""
    sides = [partial(side, training=training) for side in (ours, plain, limit)]
    papers = Earlier(name, "ours")
    cheap = [
        Stage(f"{name}, {model}", "clips/s", partial(sides[0], model=model), papers, n_laps=2)
        for model in ("pooled", "crnn")
    ]
    return [Stage(name, "clips/s", *sides, n_laps=2), *cheap]


STEP = "training step"
COMPILED = Stage(
    f"{STEP}, torch.compile",
    "clips/s",
    partial(ours, training=True, compiled=True),
    Earlier(STEP, "reference"),
    Earlier(STEP, "limit"),
    n_laps=2,
    needs_gpu=True,
)
TRAINING = Family(
    (*_stages(STEP, training=True), COMPILED),
    "the same network in float32, contiguous, DataLoader on arrays, loss fetched each step; of "
    "pooled and crnn, the paper's network as sedmtl trains it, timed once, in its own row",
    "the step's convolutions and matrix products at the best GFLOP/s of its precision",
    needs="features",
)
INFERENCE = Family(
    tuple(_stages("inference", training=False)),
    "the same network in float32, contiguous, with the decoder; of pooled and crnn, the paper's "
    "network as sedmtl scores it, timed once, in its own row",
    "its convolutions and matrix products without the decoder at the best GFLOP/s",
    needs="features",
)
