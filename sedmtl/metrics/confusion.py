"""Confusion between the classes of clips with several labels.

A false tag cannot be attributed to one of a clip's true classes. Measured instead: how much more
often an absent class is tagged in clips that have another class than in clips that have neither.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.metrics.annotation import Mask, Values, Whole


class Confusion(NamedTuple):
    """How often each class is tagged, by true class: (C, C) each, [true, tagged].

    Attributes:
        n_tagged: Off the diagonal: number of clips that have the true class, lack the other, and
            are tagged with the other. On it: clips that have the class and are tagged with it.
        n_clips: Number of clips with the true class and without the other, tagged or not.
        n_tagged_without: Clips that have neither class and are tagged with the other; on the
            diagonal those that lack the class.
        n_clips_without: Clips that have neither class, tagged or not.
    """

    n_tagged: Whole
    n_clips: Whole
    n_tagged_without: Whole
    n_clips_without: Whole

    @property
    def rate(self) -> Values:
        """Share tagged with the true class present; on the diagonal its recall; NaN if no clip."""
        return _share(self.n_tagged, self.n_clips)

    @property
    def base_rate(self) -> Values:
        """Share tagged with the true class absent; NaN if no clip."""
        return _share(self.n_tagged_without, self.n_clips_without)

    @property
    def excess(self) -> Values:
        """Off the diagonal: rate minus base rate. On the diagonal: the recall."""
        excess = self.rate - self.base_rate
        np.fill_diagonal(excess, self.rate.diagonal())
        return excess

    def sureness(self) -> Values:
        """The excess in its standard errors; NaN on the diagonal.

        By Agresti and Caffo (The American Statistician, 2000): one clip of either outcome is added
        to each share, which gives small counts and shares of 0 and 1 a standard error.
        """
        with_it, without = self.n_clips + 2, self.n_clips_without + 2
        p, q = (self.n_tagged + 1) / with_it, (self.n_tagged_without + 1) / without
        sureness: Values = (p - q) / np.sqrt(p * (1 - p) / with_it + q * (1 - q) / without)
        np.fill_diagonal(sureness, np.nan)
        return sureness


def evaluate(target: npt.NDArray[np.integer], tagged: Mask) -> Confusion:
    """Count clips by true and tagged class, from labels of 0 and 1 and tags, (n, C) each."""
    there = target.astype(np.int64)
    absent, tags = 1 - there, tagged.astype(np.int64)
    false = tags * absent
    n_tagged, n_clips = there.T @ false, there.T @ absent
    # A class has no false tags among its own clips: the diagonal holds the recall instead.
    np.fill_diagonal(n_tagged, (there * tags).sum(axis=0))
    np.fill_diagonal(n_clips, there.sum(axis=0))
    return Confusion(n_tagged, n_clips, absent.T @ false, absent.T @ absent)


def _share(n: Whole, of: Whole) -> Values:
    share: Values = np.divide(n, of, out=np.full(n.shape, np.nan), where=of > 0)
    return share
