"""One timed pass over some work. A leaf."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Lap:
    """What one pass took.

    Attributes:
        seconds: Of the work alone, not of its preparation.
        n_items: Clips, mixtures or whatever the stage counts.
        audio_s: Seconds of audio that were worked on.
        notes: Further figures, each by what it is and its unit.
    """

    seconds: float
    n_items: float = 1
    audio_s: float = 0.0
    notes: Mapping[str, float] = field(default_factory=dict)


Run = Callable[[], Lap]
"""Does the work once."""


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
