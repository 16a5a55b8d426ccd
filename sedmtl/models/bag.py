"""Pools window scores to recordings: a class is present if it is present in any window.

This matches the meaning of a weak label for recordings of any length. Training, evaluation and the
tags of `predict` use this rule.
"""

from __future__ import annotations

from torch import Tensor


def highest(clip: Tensor, which: Tensor, n_bags: int) -> Tensor:
    """Clip scores of windows (W, C) -> scores of their recordings (n_bags, C).

    Args:
        clip: Window scores in [0, 1].
        which: (W,) the recording of each window, from 0; each has at least one.
        n_bags: Number of recordings.
    """
    index = which[:, None].expand_as(clip)
    return clip.new_zeros(n_bags, clip.shape[1]).scatter_reduce(0, index, clip, "amax")
