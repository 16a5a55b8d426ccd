"""Confusion between classes where a clip has several of them.

A confusion matrix of single labels does not exist here: it is not known which of a clip's true
classes a false one was taken for. What can be said is how much more often an absent class is
tagged in the clips that have another class than in the clips that have neither.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Confusion(NamedTuple):
    """How often each class is tagged, by what is truly there: (C, C) each, [true, tagged].

    Attributes:
        n_tagged: Beside the diagonal: clips that have the true class, lack the other, and are
            tagged with the other. On it: clips that have the class and are tagged with it.
        n_clips: Those they are counted among.
        n_tagged_without: Clips that have neither class and are tagged with the other; on the
            diagonal those that lack the class.
        n_clips_without: Those they are counted among.
    """

    n_tagged: Counts
    n_clips: Counts
    n_tagged_without: Counts
    n_clips_without: Counts

    @property
    def rate(self) -> Values:
        """Share tagged where the true class is; on the diagonal its recall. NaN without a clip."""
        return _share(self.n_tagged, self.n_clips)

    @property
    def base_rate(self) -> Values:
        """Share tagged where it is not. NaN without a clip."""
        return _share(self.n_tagged_without, self.n_clips_without)

    @property
    def excess(self) -> Values:
        """Beside the diagonal: rate minus base rate, the confusion proper. On it: the recall."""
        excess = self.rate - self.base_rate
        np.fill_diagonal(excess, self.rate.diagonal())
        return excess

    def sureness(self) -> Values:
        """The excess in its standard errors: what of it may be chance.

        By Agresti and Caffo (The American Statistician, 2000): one clip of either outcome is added
        to each share, which keeps small counts and shares of 0 and 1 honest. NaN on the diagonal.
        """
        with_it, without = self.n_clips + 2, self.n_clips_without + 2
        p, q = (self.n_tagged + 1) / with_it, (self.n_tagged_without + 1) / without
        sureness: Values = (p - q) / np.sqrt(p * (1 - p) / with_it + q * (1 - q) / without)
        np.fill_diagonal(sureness, np.nan)
        return sureness


def evaluate(target: npt.NDArray[np.integer], tagged: Flags) -> Confusion:
    """Count.

    Args:
        target: (n, C) of 0 and 1.
        tagged: (n, C) whether the clip score says that the class is there.
    """
    there = target.astype(np.int64)
    absent, tags = 1 - there, tagged.astype(np.int64)
    false = tags * absent
    n_tagged, n_clips = there.T @ false, there.T @ absent
    # Of the diagonal there is no false tag: recall stands in its place.
    np.fill_diagonal(n_tagged, (there * tags).sum(axis=0))
    np.fill_diagonal(n_clips, there.sum(axis=0))
    return Confusion(n_tagged, n_clips, absent.T @ false, absent.T @ absent)


def _share(n: Counts, of: Counts) -> Values:
    share: Values = np.divide(n, of, out=np.full(n.shape, np.nan), where=of > 0)
    return share
