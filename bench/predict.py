"""`sedmtl predict` at paper size: how many times real time, and what a long recording costs.

    python bench/predict.py [--minutes 10] [--json FILE]

The network has the paper's size and random weights: what it says does not matter to its speed.
Peak memory is that of a process of its own, with a narrow network, for a recording of 2 minutes and
one of 2 hours: what does not depend on the network's width is the same in both.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import torch

from sedmtl.checkpoint import ModelCard
from sedmtl.detector import Detector
from sedmtl.devices import choose_device, choose_precision
from sedmtl.logmel import n_frames
from sedmtl.postprocess import PostProcessing
from sedmtl.recordings import find_events
from sedmtl.workers import all_cores

N_CLASSES = 41
RATE = 44_100
"""Of the recordings: not the network's, so that they are resampled as most are."""


def paper_size(width: int, precision: str) -> ModelCard:
    """The paper's network on the paper's front end."""
    features = {"window": 2048, "hop": 1024, "n_mels": 64, "f_min": 50.0, "f_max": 16_000.0}
    return ModelCard(
        model="2apae", attention="released", time_attention="local", reconstruction="relu",
        width=width, n_frames=n_frames(320_000, 2048, 1024), n_mels=64,
        classes=tuple(f"class {i}" for i in range(N_CLASSES)), sample_rate=32_000,
        n_samples=320_000, features=features, mean=(-40.0,) * 64, std=(15.0,) * 64,
        postprocessing=PostProcessing((0.5,) * N_CLASSES, median_s=0.4),
        tag_threshold=(0.5,) * N_CLASSES, training={"alpha": 0.001, "precision": precision},
    )  # fmt: skip


def write_recording(path: Path, minutes: float) -> Path:
    """Stereo noise of changing level."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16") as file:
        for _ in range(round(minutes * 6)):
            file.write(rng.uniform(0.01, 0.2) * rng.standard_normal((10 * RATE, 2)))
    return path


def hear(path: Path, width: int, precision: str | None = None) -> float:
    """Predict on one recording; returns the seconds it took."""
    device = choose_device(None)
    card = paper_size(width, precision or choose_precision(device))
    torch.manual_seed(0)
    detector = Detector(card, card.build_network(), device)
    detector.score_windows(np.zeros((8, card.n_samples), np.float32))  # the first is slower
    started = time.perf_counter()
    for _, found in find_events(detector, [path], card.postprocessing, n_workers=all_cores()):
        assert not isinstance(found, Exception), found
    return time.perf_counter() - started


def peak_mb(path: Path) -> float:
    """Peak memory of a process that predicts on the recording."""
    command = [sys.executable, __file__, "--peak-of", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def measure(minutes: float) -> dict[str, float]:
    """All figures."""
    with TemporaryDirectory() as folder:
        recording = write_recording(Path(folder) / "speed.wav", minutes)
        fast, plain = hear(recording, 32), hear(recording, 32, "float32")
        short = write_recording(Path(folder) / "short.wav", 2)
        long = write_recording(Path(folder) / "long.wav", 120)
        peaks = peak_mb(short), peak_mb(long)
    return {
        "real_time_factor": 60 * minutes / fast,
        "real_time_factor_float32": 60 * minutes / plain,
        "peak_mb_2_min": peaks[0],
        "peak_mb_2_h": peaks[1],
    }


def main() -> None:
    """Measure and print, or be the process whose memory is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        hear(arguments.peak_of, 2)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    figures = measure(arguments.minutes)
    device = choose_device(None)
    print(f"predict, 2APAE width 32, {N_CLASSES} classes, {RATE} Hz stereo, {device.type}, "
          f"{all_cores()} cores, torch {torch.__version__}")  # fmt: skip
    print(f"  {figures['real_time_factor']:7.1f} x real time in {choose_precision(device)}")
    print(f"  {figures['real_time_factor_float32']:7.1f} x real time in float32")
    print(f"  {figures['peak_mb_2_min']:7.0f} MB peak, recording of 2 minutes (width 2)")
    print(f"  {figures['peak_mb_2_h']:7.0f} MB peak, recording of 2 hours (width 2)")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
