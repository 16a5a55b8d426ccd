"""The localisation metrics, on random smooth frame scores of the paper's size.

Frame scores are float16, as runs store them; three events a clip, frames of the paper's front end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import average_precision_score

from bench.lap import Lap, Run, seconds_of
from bench.settings import Settings
from sedmtl.metrics import frame, psds
from sedmtl.metrics.annotation import Annotation

N_FRAMES, HOP_S, DURATION_S = 311, 0.032, 10.0
EDGES_S = np.arange(N_FRAMES + 1) * HOP_S
SCENARIOS = {1: psds.SCENARIO_1, 2: psds.SCENARIO_2}


def frame_ap(settings: Settings) -> Run:
    """Average precision of all frames, micro and macro."""
    n, n_classes, scores, truth = _data(settings)
    return _lap(
        lambda: frame.evaluate(frame.targets(truth, n, n_classes, EDGES_S), scores), settings
    )


def plain_frame_ap(settings: Settings) -> Run:
    """The same by scikit-learn."""
    n, n_classes, scores, truth = _data(settings)

    def work() -> tuple[float, float]:
        target = frame.targets(truth, n, n_classes, EDGES_S).swapaxes(1, 2).reshape(-1, n_classes)
        score = scores.swapaxes(1, 2).reshape(-1, n_classes).astype(np.float32)
        kept = target.any(axis=0)
        target, score = target[:, kept], score[:, kept]
        micro = average_precision_score(target, score, average="micro")
        return micro, average_precision_score(target, score, average="macro")

    return _lap(work, settings)


def psds_score(settings: Settings, scenario: int) -> Run:
    """PSDS; every distinct score is an operating point."""
    n, _, scores, truth = _data(settings)
    durations_s = np.full(n, DURATION_S)
    return _lap(
        lambda: psds.evaluate(truth, scores, EDGES_S, durations_s, SCENARIOS[scenario]), settings
    )


def _lap(work: Callable[[], object], settings: Settings) -> Run:
    return lambda: Lap(seconds_of(work), 1, DURATION_S * settings.n_scored)


def _data(settings: Settings) -> tuple[int, int, npt.NDArray[np.float16], Annotation]:
    n, n_classes = settings.n_scored, settings.n_classes
    return n, n_classes, random_scores(n, n_classes), random_truth(n, n_classes)


def random_scores(n_clips: int, n_classes: int) -> npt.NDArray[np.float16]:
    """(n_clips, n_classes, N_FRAMES) in [0, 1]."""
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
