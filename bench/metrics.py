"""Localisation metrics, on random smooth frame scores of the paper's size.

Frame scores are float16, as runs store them; each clip has three events of 2 s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import average_precision_score

from bench.project import Settings
from bench.runner import Family, Run, Stage, Timing, seconds_of
from sedmtl.metrics import frame, psds
from sedmtl.metrics.annotation import Annotation

N_FRAMES, HOP_S, DURATION_S = 311, 0.032, 10.0
EDGES_S = np.arange(N_FRAMES + 1) * HOP_S
Scores = npt.NDArray[np.float16]


def prepare(settings: Settings, metric: Callable[[Annotation, Scores], object]) -> Run:
    """Prepare a metric on random events and scores (n_scored, n_classes, N_FRAMES) in [0, 1]."""
    rng = np.random.default_rng(0)
    scores = np.empty((settings.n_scored, settings.n_classes, N_FRAMES), np.float16)
    for clip in scores:
        clip[:] = 1 / (1 + np.exp(-8 * gaussian_filter1d(rng.normal(size=clip.shape), 8)))
    number = np.repeat(np.arange(settings.n_scored), 3)
    onset_s = np.round(rng.uniform(0, 8, len(number)), 3)
    label = rng.integers(0, settings.n_classes, len(number))
    truth = Annotation(number, label, onset_s, onset_s + 2)
    return lambda: Timing(seconds_of(lambda: metric(truth, scores)), 1, DURATION_S * len(scores))


def frame_ap(truth: Annotation, scores: Scores) -> object:
    """Micro and macro average precision over frames."""
    return frame.evaluate(frame.targets(truth, *scores.shape[:2], EDGES_S), scores)


def plain_frame_ap(truth: Annotation, scores: Scores) -> object:
    """The same with scikit-learn."""
    target = np.moveaxis(frame.targets(truth, *scores.shape[:2], EDGES_S), 1, 2)
    target = target.reshape(-1, scores.shape[1])
    kept = target.any(axis=0)
    score = np.moveaxis(scores, 1, 2).reshape(target.shape).astype(np.float32)[:, kept]
    how = ("micro", "macro")
    return [average_precision_score(target[:, kept], score, average=each) for each in how]


def psds_score(truth: Annotation, scores: Scores, scenario: psds.Scenario) -> object:
    """PSDS with every distinct score as an operating point."""
    return psds.evaluate(truth, scores, EDGES_S, np.full(len(scores), DURATION_S), scenario)


_FRAME, _PLAIN = (partial(prepare, metric=metric) for metric in (frame_ap, plain_frame_ap))
_PSDS = {
    n: partial(prepare, metric=partial(psds_score, scenario=scenario))
    for n, scenario in enumerate((psds.SCENARIO_1, psds.SCENARIO_2), start=1)
}
FAMILY = Family(
    (
        Stage("frame AP", "s", _FRAME, _PLAIN, n_timings=2),
        *(Stage(f"PSDS scenario {n}", "s", each, n_timings=2) for n, each in _PSDS.items()),
    ),
    "scikit-learn",
    on_project=False,
)
