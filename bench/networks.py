"""Training steps with and without remixing, inference and prediction: sedmtl's and plain ones.

Weights are random, as a network's output does not affect its speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from bench import stores
from bench.arithmetic import network_gflop, time_at_best
from bench.project import SNR_DB, Settings
from bench.runner import Family, Run, Stage, Timing, seconds_of
from sedmtl.config import Remix, load_config
from sedmtl.inference.detector import Detector
from sedmtl.runtime.devices import choose_device, choose_precision
from sedmtl.runtime.process import keep_memory
from sedmtl.runtime.workers.threads import all_cores
from sedmtl.store import Store, batches
from sedmtl.training.config import TrainConfig, build_network
from sedmtl.training.finalize import card_of
from sedmtl.training.loop import Trainer
from sedmtl.training.split import split_rows
from sedmtl.training.start import open_trainer

ALPHA = 0.001
RATE = 44_100
"""Sample rate of recordings to predict; not the network's, so that they are resampled, as usual."""

GPU = torch.cuda.is_available()
N_STEPS = 20 if GPU else 1
"""Steps per timing: milliseconds each on a GPU, seconds on a CPU; 8 times as many if remixed."""


def open_store(settings: Settings) -> Store:
    """Open the shared project's feature store."""
    path = load_config(settings.shared).work_dir / "features" / f"snr_{SNR_DB}.h5"
    return Store(path, "logmel")


def config_of(settings: Settings, **options: Any) -> TrainConfig:
    """Configuration of the paper's network, or another `model`, in the precision sedmtl chooses."""
    recipe = {"data": f"snr_{SNR_DB}", "fold": 1, "alpha": ALPHA, "batch_size": settings.batch}
    recipe |= {"precision": choose_precision(choose_device(None))}
    width = {} if "model" in options else {"width": settings.width}
    return TrainConfig.of(recipe | width | options)


def trainer_of(settings: Settings, store: Store, *, remix: bool = False, **options: Any) -> Trainer:
    """A trainer as in `sedmtl train`; a remixed epoch has `settings.n_mixtures` clips."""
    keep_memory()  # as the command line does
    config = config_of(settings, **options)
    if remix:
        config = replace(config, remix=Remix(mixtures_per_epoch=settings.n_mixtures))
    return open_trainer(config, store, choose_device(None), load_config(settings.shared))


def step(settings: Settings, *, compiled: bool = False, remix: bool = False, **options: Any) -> Run:
    """Steps of `Trainer`, and the share of time spent waiting for batches."""
    trainer = trainer_of(settings, open_store(settings), remix=remix, **options)
    if compiled:
        trainer.network.compile()
    trainer.network.train()
    n_steps = 8 * N_STEPS if remix else N_STEPS
    rows = np.arange(trainer.n_clips) if remix else trainer.split.train
    loader = trainer.remixer.loader(1) if trainer.remixer else None
    # One iterator for all timings: as in an epoch, batches are read while the previous one is used.
    steps = trainer.steps(np.resize(rows, 10 * n_steps * settings.batch), loader)

    def run() -> Timing:
        before_s = trainer.waited_s
        # Synchronise only after the last step, as in an epoch.
        timing = _timing(settings, lambda: list(islice(steps, n_steps))[-1][1].cpu(), n_steps)
        waited = 100 * (trainer.waited_s - before_s) / timing.seconds
        return replace(timing, notes={**timing.notes, "% of the time waiting for data": waited})

    return run


def draw(settings: Settings) -> Run:
    """Drawing the remixed batches of an epoch, without training."""
    remixer = trainer_of(settings, open_store(settings), remix=True, model="pooled").remixer
    assert remixer is not None
    rows, epochs = list(batches(np.arange(remixer.n_clips), settings.batch)), count(1)
    n_clips = settings.n_mixtures
    return lambda: Timing(
        seconds_of(lambda: [None for _ in remixer.loader(next(epochs)).run(rows)]),
        n_clips, 10 * n_clips,
    )  # fmt: skip


def score(settings: Settings, **options: Any) -> Run:
    """Clip scores of `Trainer`, including reading the store; no decoder is run."""
    trainer = trainer_of(settings, open_store(settings), **options)
    rows = np.resize(trainer.split.train, N_STEPS * settings.batch)
    return lambda: _timing(settings, lambda: trainer.score(rows))


def plain(settings: Settings, *, training: bool) -> Run:
    """Plain steps, fetching the loss after each; or plain scoring, with the decoder."""
    network = PlainNetwork(settings)
    network.network.train(training)
    endless = network.batches()
    work = network.step if training else network.score
    return lambda: _timing(settings, lambda: [work(*each) for each in islice(endless, N_STEPS)])


def limit(settings: Settings, *, training: bool) -> Run:
    """The arithmetic of a clip; training includes the decoder and the backward pass."""
    return time_at_best(settings, _gflop(settings, training=training), 1)


def _gflop(settings: Settings, *, training: bool) -> float:
    with open_store(settings) as store:
        sizes = len(store.classes), *store.row_shape
    return network_gflop(*sizes, settings.width, training=training)


def _timing(settings: Settings, work: Callable[[], object], n_steps: int = N_STEPS) -> Timing:
    seconds, n_clips = seconds_of(work), n_steps * settings.batch
    notes = {"MB on the GPU": torch.cuda.max_memory_allocated() / 1024**2} if GPU else {}
    return Timing(seconds, n_clips, 10 * n_clips, notes)


class PlainNetwork:
    """The paper's network as a simple script would run it.

    Uses float32, contiguous tensors, the decoder always on, and all features in memory, batched by
    `DataLoader`.
    """

    def __init__(self, settings: Settings) -> None:
        config, self._device = config_of(settings), choose_device(None)
        with open_store(settings) as store:
            split = split_rows(store.clips, config.fold)
            frames = store.read(split.training_folds).astype(np.float64)
            mean, std = frames.mean(axis=(0, 1)), frames.std(axis=(0, 1))
            logmel = ((store.read(split.train) - mean) / std).astype(np.float32)
            target = store.clips.target[split.train].astype(np.float32)
            self.network: nn.Module = build_network(config, store).to(self._device)
        arrays = TensorDataset(torch.from_numpy(logmel), torch.from_numpy(target))
        self._loader = DataLoader(arrays, min(settings.batch, len(target)), drop_last=True)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=config.lr)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield standardised log-mels (B, T, F) and targets (B, C) endlessly."""
        for logmel, target in chain.from_iterable(repeat(self._loader)):
            yield logmel.to(self._device), target.to(self._device)

    def step(self, logmel: Tensor, target: Tensor) -> float:
        """Train on a batch; returns the loss."""
        output = self.network(logmel)
        detection = F.binary_cross_entropy(output.clip.clamp(0, 1), target)
        loss = detection + ALPHA * F.mse_loss(output.reconstruction, logmel)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return loss.item()

    def score(self, logmel: Tensor, _: Tensor) -> Tensor:
        """Clip scores (B, C) of a batch."""
        with torch.no_grad():
            return self.network(logmel).clip.cpu()


def predict(settings: Settings, minutes: str = "minutes", **options: Any) -> Run:
    """Find the events of a recording whose length is the setting `minutes`; an item is a second.

    Includes decoding and resampling. Peak memory of short and long recordings is compared with a
    narrow network, so that the dependence on length is visible.
    """
    audio_s = 60 * getattr(settings, minutes)
    path = Path(settings.folder) / f"recording_{audio_s:g}_s.wav"
    if not path.is_file():
        _write_recording(path, audio_s)
    detector = _detector(settings, **options)
    silence = np.zeros((8, detector.card.n_samples), np.float32)
    detector.network.score_windows(silence)  # warm-up

    def work() -> None:
        for _, found in detector.predict_many([path], n_workers=all_cores()):
            assert not isinstance(found, Exception), found

    return lambda: Timing(seconds_of(work), audio_s, audio_s)


def predict_limit(settings: Settings) -> Run:
    """The arithmetic for the recording's overlapping windows."""
    audio_s, grid = 60 * settings.minutes, _detector(settings).card.grid
    n_windows = audio_s / (grid.stride * grid.hop_s)
    return time_at_best(settings, n_windows * _gflop(settings, training=False), audio_s)


def _detector(settings: Settings, **options: Any) -> Detector:
    with open_store(settings) as store:
        trainer = trainer_of(settings, store, time_attention="local", **options)
        card = card_of(trainer, store)
    smoothed = replace(card.postprocessing, median_s=0.4)
    return Detector(replace(card, postprocessing=smoothed), trainer.network, trainer.device)


def _write_recording(path: Path, audio_s: float) -> None:
    """Write stereo noise of varying level."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16") as file:
        for _ in range(round(audio_s / 10)):
            file.write(rng.uniform(0.01, 0.2) * rng.standard_normal((10 * RATE, 2)))


def _family(name: str, ours: Callable[..., Run], *, training: bool, about: str) -> Family:
    """Stages of the paper's network next to a plain one, and of cheap networks next to it."""
    papers, reference = partial(ours), partial(plain, training=training)
    best = partial(limit, training=training)
    stages = [Stage(name, "clips/s", papers, reference, best, n_timings=2)]
    for model in ("pooled", "crnn"):
        cheap = partial(ours, model=model)
        stages.append(Stage(f"{name}, {model}", "clips/s", cheap, papers, n_timings=2))
    if training:
        compiled = partial(ours, compiled=True)
        stages.append(Stage(f"{name}, torch.compile", "clips/s", compiled, reference, best,
                            n_timings=2, needs_gpu=True))  # fmt: skip
    return Family(
        tuple(stages),
        f"the same network in float32, contiguous, {about}; of pooled and crnn, the paper's "
        "network as sedmtl runs it; limit: its convolutions and matrix products at the best "
        "GFLOP/s of its precision",
    )


TRAINING = _family(
    "training step", step, training=True, about="DataLoader on arrays, loss fetched each step"
)
INFERENCE = _family("inference", score, training=False, about="with the decoder")
REMIX = Family(
    (
        Stage("remix", "clips/s", draw, limit=stores.transform),
        Stage("training step, pooled, remix", "clips/s",
              partial(step, model="pooled", remix=True), n_timings=2),
    ),
    "none; limit: FFT and mel product of each frame, on all cores",
)  # fmt: skip
LONG, SHORT = (
    partial(predict, minutes=minutes, width=2) for minutes in ("long_minutes", "short_minutes")
)
PREDICT = Family(
    (
        Stage("predict", "s/s", predict, partial(predict, precision="float32"), predict_limit,
              n_timings=2),
        Stage("predict, long beside short", "s/s", LONG, SHORT, n_timings=1, n_warm=0),
    ),
    "float32; in the second row, a short recording beside a long one, network of width 2; limit: "
    "as for inference, for the recording's overlapping windows",
)  # fmt: skip
