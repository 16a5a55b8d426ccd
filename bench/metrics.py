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
from sedmtl.metrics.annotation import Annotation

N_FRAMES, HOP_S, DURATION_S = 311, 0.032, 10.0
EDGES_S = np.arange(N_FRAMES + 1) * HOP_S
SCENARIOS = {1: psds.SCENARIO_1, 2: psds.SCENARIO_2}


def frame_ap(settings: Settings) -> Run:
    """Average precision of all frames, micro and macro."""
    scores, truth = _scores(settings), _truth(settings)
    n, n_classes = scores.shape[:2]
    return _run(
        settings, lambda: frame.evaluate(frame.targets(truth, n, n_classes, EDGES_S), scores)
    )


def plain_frame_ap(settings: Settings) -> Run:
    """The same by scikit-learn."""
    scores, truth = _scores(settings), _truth(settings)
    n, n_classes = scores.shape[:2]

    def work() -> None:
        target = frame.targets(truth, n, n_classes, EDGES_S).swapaxes(1, 2).reshape(-1, n_classes)
        score = scores.swapaxes(1, 2).reshape(-1, n_classes).astype(np.float32)
        kept = target.any(axis=0)
        target, score = target[:, kept], score[:, kept]
        for average in ("micro", "macro"):
            average_precision_score(target, score, average=average)

    return _run(settings, work)


def psds_score(settings: Settings, scenario: int) -> Run:
    """PSDS; every distinct score is an operating point."""
    scores, truth = _scores(settings), _truth(settings)
    durations_s = np.full(len(scores), DURATION_S)
    return _run(
        settings, lambda: psds.evaluate(truth, scores, EDGES_S, durations_s, SCENARIOS[scenario])
    )


def _run(settings: Settings, work: Callable[[], object]) -> Run:
    return lambda: Lap(seconds_of(work), 1, DURATION_S * settings.n_scored)


def _scores(settings: Settings) -> npt.NDArray[np.float16]:
    """(n_scored, n_classes, N_FRAMES) in [0, 1]."""
    rng = np.random.default_rng(0)
    scores = np.empty((settings.n_scored, settings.n_classes, N_FRAMES), np.float16)
    for clip in scores:
        smooth = gaussian_filter1d(rng.normal(size=clip.shape), 8)
        clip[:] = 1 / (1 + np.exp(-8 * smooth))
    return scores


def _truth(settings: Settings) -> Annotation:
    rng = np.random.default_rng(1)
    clip = np.repeat(np.arange(settings.n_scored), 3)
    onset_s = np.round(rng.uniform(0, 8, len(clip)), 3)
    return Annotation(clip, rng.integers(0, settings.n_classes, len(clip)), onset_s, onset_s + 2)


FAMILY = Family(
    (
        Stage("frame AP", "s", frame_ap, plain_frame_ap, n_laps=2),
        Stage("PSDS scenario 1", "s", partial(psds_score, scenario=1), n_laps=2),
        Stage("PSDS scenario 2", "s", partial(psds_score, scenario=2), n_laps=2),
    ),
    "scikit-learn",
)
