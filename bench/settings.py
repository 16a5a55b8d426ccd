"""How much is measured, and where. A leaf."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Sizes of everything; the defaults are the paper's settings on as few clips as tell.

    Attributes:
        folder: Everything is written below it.
        corpora: Holds FSDKaggle2018 and TAU 2019 in their published layout.
        n_clips: Event clips of the synthetic corpus, to its mixtures as 3,710 to 8,000: the share
            of reading events is that of the paper's mixtures.
        n_classes: Of the synthetic corpus.
        n_mixtures: In all four folds, a multiple of four.
        n_scenes: Of the synthetic corpus; each serves several mixtures of its fold.
        n_plain: Of these, those that the reference of `mix` makes in a lap.
        batch: Clips a training step.
        width: Of the network.
        minutes: Of the recording that `predict` hears.
        short_minutes: Of the shorter of two recordings that memory is compared on.
        long_minutes: Of the longer.
        n_scored: Clips that the metrics score.
        limit_s: How long to look for each of the machine's limits.
        laps: At most so many of a stage.
    """

    folder: str
    corpora: str
    n_clips: int = 475
    n_classes: int = 41
    n_mixtures: int = 1024
    n_scenes: int = 64
    n_plain: int = 16
    batch: int = 24
    width: int = 32
    minutes: float = 10
    short_minutes: float = 2
    long_minutes: float = 120
    n_scored: int = 2_000
    limit_s: float = 0.75
    laps: int = 5


QUICK = {
    "n_clips": 8,
    "n_mixtures": 12,
    "n_scenes": 8,
    "n_plain": 2,
    "batch": 4,
    "width": 8,
    "minutes": 0.5,
    "short_minutes": 0.5,
    "long_minutes": 2,
    "n_scored": 20,
    "limit_s": 0.05,
    "laps": 1,
}
"""Sizes that only show that everything runs."""
