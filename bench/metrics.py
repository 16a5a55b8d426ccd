"""The localisation metrics: seconds and peak memory, on random smooth frame scores.

    python bench/metrics.py [--clips 2000] [--classes 41]

Frame scores are float16, as runs store them; three events a clip, frames of the paper's front end.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter1d

from sedmtl.metrics import frame, psds
from sedmtl.metrics.annotation import Annotation

N_FRAMES, HOP_S, DURATION_S = 311, 0.032, 10.0


def random_scores(n_clips: int, n_classes: int) -> np.ndarray:
    """(n_clips, n_classes, N_FRAMES) float16 in [0, 1]."""
    rng = np.random.default_rng(0)
    scores = np.empty((n_clips, n_classes, N_FRAMES), np.float16)
    for clip in scores:
        smooth = gaussian_filter1d(rng.normal(size=clip.shape), 8)
        clip[:] = 1 / (1 + np.exp(-8 * smooth))
    return scores


def random_truth(n_clips: int, n_classes: int) -> Annotation:
    """Three events of 2 s a clip."""
    rng = np.random.default_rng(1)
    clip = np.repeat(np.arange(n_clips), 3)
    onset_s = np.round(rng.uniform(0, 8, len(clip)), 3)
    return Annotation(clip, rng.integers(0, n_classes, len(clip)), onset_s, onset_s + 2)


def tell(name: str, work: Callable[[], object]) -> None:
    """Time it and print a line."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {name:24} {seconds:7.2f} s   {peak_mb:6.0f} MB peak so far")


def main() -> None:
    """Print a line a metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--classes", type=int, default=41)
    arguments = parser.parse_args()
    n, n_classes = arguments.clips, arguments.classes
    scores, truth = random_scores(n, n_classes), random_truth(n, n_classes)
    edges_s, durations_s = np.arange(N_FRAMES + 1) * HOP_S, np.full(n, DURATION_S)
    print(f"metrics, {n} clips x {n_classes} classes x {N_FRAMES} frames, float16")
    tell("frame AP", lambda: frame.evaluate(frame.targets(truth, n, n_classes, edges_s), scores))
    for number, scenario in enumerate((psds.SCENARIO_1, psds.SCENARIO_2), start=1):
        tell(
            f"PSDS scenario {number}",
            lambda chosen=scenario: psds.evaluate(truth, scores, edges_s, durations_s, chosen),
        )


if __name__ == "__main__":
    main()
