"""Confidence intervals of the clip metrics: bootstrap over clips.

Scores are sorted only once, and a draw is a set of clip weights, so that 1,000 draws of 2,000 clips
and 41 classes take seconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.metrics.annotation import Values, Whole
from sedmtl.metrics.clip import Targets, mean_where_known
from sedmtl.metrics.ranking import Scores

Weights = npt.NDArray[np.int32]

CHUNK = 50
"""Draws per chunk: 50 x 82,000 pairs of clip and class are 16 MB per array."""


class Draws(NamedTuple):
    """The clip metrics of each draw: three arrays (n_draws,)."""

    micro_p: Values
    macro_p: Values
    auc: Values


def bootstrap(target: Targets, score: Scores, n_draws: int, rng: np.random.Generator) -> Draws:
    """Clip metrics on draws of n clips with replacement, from labels and scores (n, C)."""
    n, draws = len(target), []
    for left in range(n_draws, 0, -CHUNK):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(CHUNK, left))
        draws.append(_score_draws(target, score, weights.astype(np.int32)))
    return Draws(*(np.concatenate(parts) for parts in zip(*draws, strict=True)))


def interval(values: Values, share: float = 0.95) -> tuple[float, float]:
    """The central interval with `share` of the draws; NaN if all draws are NaN."""
    if np.isnan(values).all():
        return np.nan, np.nan
    tail = (1 - share) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _score_draws(target: Targets, score: Scores, weights: Weights) -> Draws:
    """The metrics with each clip weighted by how often it was drawn, (n_draws, n)."""
    n, n_classes = target.shape
    clips = np.arange(n)
    micro_p, _ = _weighted(target.ravel(), score.ravel(), clips.repeat(n_classes), weights)
    pairs = [_weighted(t, s, clips, weights) for t, s in zip(target.T, score.T, strict=True)]
    precision, area = (np.stack(parts) for parts in zip(*pairs, strict=True))
    return Draws(micro_p, mean_where_known(precision), mean_where_known(area))


def _weighted(
    truth: Targets, score: Scores, clip: Whole, weights: Weights
) -> tuple[Values, Values]:
    """Average precision and area under the ROC curve of one ranking (n,), for many weightings.

    Both are sums over the thresholds at which a positive is found, which are few.

    Args:
        truth: (n,) of 0 and 1.
        score: (n,).
        clip: (n,) clip of each entry.
        weights: (n_draws, n_clips).

    Returns:
        Two arrays (n_draws,); NaN if a draw has no positive (or, for the area, no negative).
    """
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(score[order]) != 0))  # of tied groups
    ends = np.append(starts[1:], len(order))
    n_positives = np.add.reduceat(truth[order].astype(np.int64), starts)
    found = n_positives > 0
    if not found.any():
        nothing = np.full(len(weights), np.nan)
        return nothing, nothing
    positives = order[truth[order] == 1]
    first = np.cumsum(n_positives[found]) - n_positives[found]
    new_hits = np.add.reduceat(weights[:, clip[positives]], first, axis=1)
    hits = np.cumsum(new_hits, axis=1)
    taken = np.zeros((len(weights), len(order) + 1), weights.dtype)
    np.cumsum(weights[:, clip[order]], axis=1, out=taken[:, 1:])
    before, after = taken[:, starts[found]], taken[:, ends[found]]
    n_hits = hits[:, -1].astype(np.float64)
    n_misses = taken[:, -1] - n_hits
    # Negatives ranked above a positive; tied ones count half.
    above = (after - hits + before - hits + new_hits) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = (new_hits * (hits / np.maximum(after, 1))).sum(axis=1) / n_hits
        area = 1 - (new_hits * above).sum(axis=1) / (n_hits * n_misses)
    return precision, area
