"""Prediction on recordings, from a file to its events, at paper size.

The network has random weights: its output does not affect its speed. Peak memory is compared on a
short and a long recording with a narrow network, so that what depends on length stands out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench.arithmetic import network_gflop, time_at_best
from bench.project import Settings
from bench.runner import Family, Lap, Run, Stage, seconds_of
from sedmtl.inference.checkpoint import ModelCard
from sedmtl.inference.detector import Detector
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.logmel import n_frames
from sedmtl.models.autoencoder import TwoStepAttentionSettings
from sedmtl.runtime.devices import choose_device, choose_precision
from sedmtl.runtime.process import keep_memory
from sedmtl.runtime.workers.threads import all_cores

N_CLASSES, NARROW = 41, 2
RATE = 44_100
"""Of the recordings: not the network's, so that they are resampled as most are."""


def predict(
    settings: Settings, minutes: str = "minutes", width: int | None = None, precision: str = ""
) -> Run:
    """Find the events of one recording of as many `minutes` as that setting; an item is a second.

    By default at the paper's width, in the precision that sedmtl chooses.
    """
    keep_memory()  # as the command line does
    n_minutes = getattr(settings, minutes)
    path = Path(settings.folder) / f"recording_{n_minutes:g}.wav"
    if not path.is_file():
        _write_recording(path, n_minutes)
    device = choose_device(None)
    card = _paper_size(width or settings.width, precision or choose_precision(device))
    torch.manual_seed(0)
    detector = Detector(card, card.build_network(), device)
    detector.score_windows(np.zeros((8, card.n_samples), np.float32))  # the first is slower

    def work() -> None:
        for _, found in detector.predict_many([path], n_workers=all_cores()):
            assert not isinstance(found, Exception), found

    return lambda: Lap(seconds_of(work), 60 * n_minutes, 60 * n_minutes)


def limit(settings: Settings) -> Run:
    """The arithmetic of the recording's overlapping windows."""
    card = _paper_size(settings.width, "float32")
    gflop = network_gflop(N_CLASSES, card.n_frames, card.n_mels, settings.width, training=False)
    audio_s = 60 * settings.minutes
    n_windows = audio_s / (card.grid.stride * card.grid.hop_s)
    return time_at_best(settings, gflop * n_windows, audio_s)


def _paper_size(width: int, precision: str) -> ModelCard:
    """The card of the paper's network on the paper's front end."""
    features = {"window": 2048, "hop": 1024, "n_mels": 64, "f_min": 50.0, "f_max": 16_000.0}
    return ModelCard(
        network=TwoStepAttentionSettings(width, time_attention="local"),
        n_frames=n_frames(320_000, 2048, 1024), n_mels=64,
        classes=tuple(f"class {i}" for i in range(N_CLASSES)), sample_rate=32_000,
        n_samples=320_000, features=features, mean=(-40.0,) * 64, std=(15.0,) * 64,
        postprocessing=PostProcessing((0.5,) * N_CLASSES, median_s=0.4),
        tag_threshold=(0.5,) * N_CLASSES, training={"alpha": 0.001, "precision": precision},
    )  # fmt: skip


def _write_recording(path: Path, minutes: float) -> None:
    """Stereo noise of changing level."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16") as file:
        for _ in range(round(minutes * 6)):
            file.write(rng.uniform(0.01, 0.2) * rng.standard_normal((10 * RATE, 2)))


LONG, SHORT = (
    partial(predict, minutes=minutes, width=NARROW) for minutes in ("long_minutes", "short_minutes")
)
FAMILY = Family(
    (
        Stage("predict", "s/s", predict, partial(predict, precision="float32"), limit, n_laps=2),
        Stage("predict, long beside short", "s/s", LONG, SHORT, n_laps=1, n_warm=0),
    ),
    "float32; in the second row, a short recording beside a long one, network of width 2",
    "as for inference, for the recording's overlapping windows",
)
