"""Ranks snippets by how useful a review would be: arrays in, an order out.

This module opens no files and does not interact with a listener, so that one can be simulated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from sedmtl.review.verdicts import Snippet
from sedmtl.runtime.errors import SedmtlError

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

By = Literal["uncertain", "class", "new", "suspicious"]

N_BANDS = 10
"""Number of score bands, each a tenth wide: few enough to hear some snippets of each, and the same
in every pool, so that verdicts of different days can be combined."""

FLOOR = 1e-4
"""Scores are clipped to this distance from 0 and 1 before logits are taken."""

UNLABELLED = (
    "suspicious labels are those of labelled recordings: leave out the audio files, so that the "
    "recordings of corpus.clips are reviewed"
)


@dataclass(frozen=True)
class Pool:
    """All snippets that could be reviewed.

    Attributes:
        snippets: (n,) snippets.
        votes: (n, V) logits of scores minus those of their thresholds, positive if the score
            indicates the class. One vote per network and kind of score (clip, frame); NaN for none.
        weak: (n,) 1 if the recording is labelled with the class, 0 if it is labelled without it, -1
            if it is unlabelled.
    """

    snippets: Sequence[Snippet]
    votes: Values
    weak: npt.NDArray[np.int8]

    def labelled(self, labels: Mapping[str, Collection[str]]) -> Pool:
        """The pool with these weak labels of the recordings."""
        weak = [each.label in labels[each.filename] for each in self.snippets]
        return replace(self, weak=np.array(weak, np.int8))

    @property
    def score(self) -> Values:
        """(n,) scores in [0, 1]."""
        return np.array([each.score for each in self.snippets], float)

    def without(self, filenames: Collection[str]) -> Pool:
        """The snippets of other recordings."""
        kept = [i for i, each in enumerate(self.snippets) if each.filename not in filenames]
        return Pool([self.snippets[i] for i in kept], self.votes[kept], self.weak[kept])

    @property
    def label(self) -> Indices:
        """(n,) indices of the classes in sorted order."""
        return np.unique([each.label for each in self.snippets], return_inverse=True)[1]


def choose(
    pool: Pool,
    by: By,
    n: int,
    rng: np.random.Generator,
    *,
    done: Collection[tuple[str, ...]] = (),
    classes: Collection[str] = (),
) -> Indices:
    """Choose the snippets to review next, the most useful first.

    * `uncertain`: the mean vote, as a probability, is close to 0.5, because scores are close to
      their thresholds, or clip and frame scores or networks disagree; classes take turns.
    * `suspicious`: the weak label is most likely wrong (`wrongness`).
    * `class`: `n` per class, drawn at random in equal numbers from all score bands.
    * `new`: drawn at random from all.

    Args:
        pool: The snippets to choose from.
        by: The criterion, as above.
        n: Maximum number of snippets.
        rng: Random generator for draws and ties.
        done: Keys of snippets to leave out.
        classes: Classes to choose from; empty for all.

    Returns:
        (at most n, or n times the number of classes) rows of the pool.

    Raises:
        SedmtlError: `by` is `suspicious`, and no recording is labelled.
    """
    if by == "suspicious" and not (pool.weak >= 0).any():
        raise SedmtlError(UNLABELLED)
    done = set(done)
    open_ = [
        each.key not in done and (not classes or each.label in classes) for each in pool.snippets
    ]
    rows = rng.permutation(np.flatnonzero(open_))  # breaks ties at random
    if by == "new":
        return rows[:n]
    if by == "suspicious":
        doubt = wrongness(pool)[rows]
        return rows[np.argsort(-doubt, kind="stable")][: min(n, int((doubt > -np.inf).sum()))]
    group = pool.label
    if by == "class":
        band = bands(pool.score)
        turn = _turns(group[rows] * N_BANDS + band[rows])
        rows = rows[np.argsort(turn, kind="stable")]
        # Shuffled, so that the order does not reveal the score.
        return rng.permutation(rows[_turns(group[rows]) < n])
    rows = rows[np.argsort(np.abs(presence(pool.votes)[rows] - 0.5), kind="stable")]
    return rows[np.argsort(_turns(group[rows]), kind="stable")][:n]


def bands(score: Values) -> Indices:
    """(n,) band of each score, from 0 to `N_BANDS` - 1."""
    return np.minimum((score * N_BANDS).astype(np.int64), N_BANDS - 1)


def logit(score: npt.ArrayLike) -> Values:
    """Log odds of scores in [0, 1], clipped by `FLOOR`."""
    odds: Values = special.logit(np.clip(np.asarray(score, float), FLOOR, 1 - FLOOR))
    return odds


def presence(votes: Values) -> Values:
    """(n,) probability of the class: the mean over votes (n, V) as probabilities."""
    probability: Values = np.nanmean(special.expit(votes), axis=1)
    return probability


def wrongness(pool: Pool) -> Values:
    """(n,) log odds that the weak label is wrong, up to a constant; -inf without a label.

    Within a class, the mean votes of recordings with and without the label are modelled as two
    normal distributions of equal variance. Their parameters are estimated by medians and absolute
    deviations, which are robust to wrong labels. The prior assumes equal numbers of missing and
    wrong labels, so that for a rare class a missing label is less likely than a wrong one. Labels
    of a class that the network cannot discriminate get no evidence of being wrong.
    """
    doubt = np.full(len(pool.weak), -np.inf)
    vote = np.nanmean(pool.votes, axis=1)
    for label in np.unique(pool.label):
        of_class = pool.label == label
        has, lacks = of_class & (pool.weak == 1), of_class & (pool.weak == 0)
        if not (has.any() and lacks.any()):
            continue
        centre = np.median(vote[has]), np.median(vote[lacks])
        deviation = np.concatenate([vote[has] - centre[0], vote[lacks] - centre[1]])
        spread = max(1.4826 * float(np.median(np.abs(deviation))), 0.5)
        slope = max(float(centre[0] - centre[1]), 0.0) / spread**2
        evidence = slope * (vote - (centre[0] + centre[1]) / 2)
        doubt[has] = -evidence[has]
        doubt[lacks] = evidence[lacks] + np.log(has.sum() / lacks.sum())
    return doubt


def _turns(group: npt.NDArray[np.integer]) -> Indices:
    """(n,) number of earlier elements of the same group."""
    order = np.argsort(group, kind="stable")
    ranked = group[order]
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(group) else group
    starts = np.repeat(first, np.diff(np.append(first, len(group))))
    turns = np.empty(len(group), np.int64)
    turns[order] = np.arange(len(group)) - starts
    return turns
