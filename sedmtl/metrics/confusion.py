"""Confusion between classes for multi-label clips.

A false tag cannot be attributed to one of a clip's true classes. Instead, this measures how much
more often an absent class is tagged in clips with another class than in clips with neither.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.metrics.annotation import Mask, Values, Whole


class Confusion(NamedTuple):
    """How often each class is tagged, by true class: (C, C) each, [true, tagged].

    Attributes:
        n_tagged: Off the diagonal: clips with the true class and without the other that are tagged
            with the other. On it: clips with the class that are tagged with it.
        n_clips: Clips with the true class and without the other, tagged or not.
        n_tagged_without: Clips with neither class that are tagged with the other; on the diagonal,
            tagged clips without the class.
        n_clips_without: Clips with neither class, tagged or not.
    """

    n_tagged: Whole
    n_clips: Whole
    n_tagged_without: Whole
    n_clips_without: Whole

    @property
    def rate(self) -> Values:
        """Share tagged with the true class present (diagonal: its recall); NaN without clips."""
        return _share(self.n_tagged, self.n_clips)

    @property
    def base_rate(self) -> Values:
        """Share tagged with the true class absent; NaN without clips."""
        return _share(self.n_tagged_without, self.n_clips_without)

    @property
    def excess(self) -> Values:
        """Off the diagonal: rate minus base rate. On the diagonal: the recall."""
        excess = self.rate - self.base_rate
        np.fill_diagonal(excess, self.rate.diagonal())
        return excess

    def sureness(self) -> Values:
        """The excess in units of its standard error; NaN on the diagonal.

        Following Agresti and Caffo (The American Statistician, 2000), one clip of either outcome is
        added to each share, which makes the standard error valid for small counts and extreme
        shares.
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
    # A class cannot have false tags in its own clips, so the diagonal holds its recall instead.
    np.fill_diagonal(n_tagged, (there * tags).sum(axis=0))
    np.fill_diagonal(n_clips, there.sum(axis=0))
    return Confusion(n_tagged, n_clips, absent.T @ false, absent.T @ absent)


def _share(n: Whole, of: Whole) -> Values:
    share: Values = np.divide(n, of, out=np.full(n.shape, np.nan), where=of > 0)
    return share
