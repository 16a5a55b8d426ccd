"""The localisation metrics, on random smooth frame scores of the paper's size.

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
from bench.runner import Family, Lap, Run, Stage, seconds_of
from sedmtl.metrics import frame, psds
from sedmtl.metrics.annotation import Annotation, Mask

N_FRAMES, HOP_S, DURATION_S = 311, 0.032, 10.0
EDGES_S = np.arange(N_FRAMES + 1) * HOP_S
SCENARIOS = (psds.SCENARIO_1, psds.SCENARIO_2)
Scores = npt.NDArray[np.float16]


def frame_ap(truth: Annotation, scores: Scores) -> None:
    """Average precision of all frames, micro and macro."""
    frame.evaluate(_target(truth, scores), scores)


def plain_frame_ap(truth: Annotation, scores: Scores) -> None:
    """The same by scikit-learn."""
    n_classes = scores.shape[1]
    target = _target(truth, scores).swapaxes(1, 2).reshape(-1, n_classes)
    score = scores.swapaxes(1, 2).reshape(-1, n_classes).astype(np.float32)
    kept = target.any(axis=0)
    for average in ("micro", "macro"):
        average_precision_score(target[:, kept], score[:, kept], average=average)


def psds_score(truth: Annotation, scores: Scores, scenario: psds.Scenario) -> None:
    """PSDS; every distinct score is an operating point."""
    durations_s = np.full(len(scores), DURATION_S)
    psds.evaluate(truth, scores, EDGES_S, durations_s, scenario)


def _target(truth: Annotation, scores: Scores) -> Mask:
    return frame.targets(truth, *scores.shape[:2], EDGES_S)


def _case(settings: Settings) -> tuple[Annotation, Scores]:
    """Truths, and scores (n_scored, n_classes, N_FRAMES) in [0, 1]."""
    rng = np.random.default_rng(0)
    scores = np.empty((settings.n_scored, settings.n_classes, N_FRAMES), np.float16)
    for clip in scores:
        smooth = gaussian_filter1d(rng.normal(size=clip.shape), 8)
        clip[:] = 1 / (1 + np.exp(-8 * smooth))
    rng = np.random.default_rng(1)
    number = np.repeat(np.arange(settings.n_scored), 3)
    onset_s = np.round(rng.uniform(0, 8, len(number)), 3)
    label = rng.integers(0, settings.n_classes, len(number))
    return Annotation(number, label, onset_s, onset_s + 2), scores


def _run(settings: Settings, metric: Callable[[Annotation, Scores], None]) -> Run:
    truth, scores = _case(settings)
    return lambda: Lap(seconds_of(lambda: metric(truth, scores)), 1, DURATION_S * len(scores))


_FRAME_AP, _PLAIN, *_PSDS = (
    partial(_run, metric=metric)
    for metric in (frame_ap, plain_frame_ap, *(partial(psds_score, scenario=s) for s in SCENARIOS))
)
FAMILY = Family(
    (
        Stage("frame AP", "s", _FRAME_AP, _PLAIN, n_laps=2),
        *(Stage(f"PSDS scenario {i}", "s", each, n_laps=2) for i, each in enumerate(_PSDS, 1)),
    ),
    "scikit-learn",
)
