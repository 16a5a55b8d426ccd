"""New mixtures of a training pool, by the rules of the plan; no audio is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.config import Mixing, Remix
from sedmtl.data.corpora import Scene
from sedmtl.data.plan import PlannedEvent, Pool, choose_onsets
from sedmtl.runtime.errors import SedmtlError

Chances = npt.NDArray[np.float64]
"""(n,) of drawing each of n clips; they sum to 1."""


@dataclass(frozen=True)
class DrawnEvent(PlannedEvent):
    """An event of a new mixture.

    Attributes:
        part: Which part of its clip it is, by number.
        speed: How many times as fast it is played.
    """

    part: int
    speed: float


class Drawn(NamedTuple):
    """A new mixture: its scene, its events in order of onset, its SNR."""

    scene: Scene
    events: tuple[DrawnEvent, ...]
    snr_db: float


def join_pools(pools: Iterable[Pool]) -> Pool:
    """The pool of all training folds.

    Raises:
        SedmtlError: It has no clip or no scene.
    """
    clips, scenes = zip(*((pool.clips, pool.scenes) for pool in pools), strict=True)
    joined = Pool(sum(clips, ()), sum(scenes, ()))
    for kind, found in (("event clips", joined.clips), ("scenes", joined.scenes)):
        if not found:
            raise SedmtlError(
                f"--remix needs {kind} that are neither held out nor for inner validation, and "
                f"the training folds have none: add {kind}, or train without --remix"
            )
    return joined


def draw(
    pool: Pool,
    lengths_s: Mapping[str, Sequence[float]],
    mixing: Mixing,
    remix: Remix,
    snr_db: float,
    rng: np.random.Generator,
    chances: Chances | None = None,
) -> Drawn:
    """Draw one mixture.

    Every scene of the pool is equally likely, and every clip unless chances are given; a clip is
    in a mixture once, unless the pool has fewer clips than the mixture events.

    Args:
        pool: What to draw from.
        lengths_s: Of the parts of each clip, by its name.
        mixing: The rules of onsets and overlap.
        remix: The ranges of SNR and number of events.
        snr_db: Where `remix` gives no range.
        rng: Of this mixture.
        chances: Of drawing each clip of the pool, if they are not equal.
    """
    fewest, most = remix.events_per_mixture or (mixing.events_per_mixture,) * 2
    n_events = int(rng.integers(fewest, most, endpoint=True))
    scene = pool.scenes[rng.integers(len(pool.scenes))]
    n_clips = len(pool.clips)
    chosen = rng.choice(n_clips, n_events, replace=n_events > n_clips, p=chances)
    lowest, highest = remix.snr_db or (snr_db, snr_db)
    level_db = float(rng.uniform(lowest, highest))
    clips = [pool.clips[i] for i in chosen]
    parts = [int(rng.integers(len(lengths_s[clip.name]))) for clip in clips]
    speeds = rng.uniform(*remix.speed, len(clips)).tolist()
    # An event that is played slowly ends at `event_s` as any other.
    as_played_s = [
        min(lengths_s[clip.name][part] / speed, mixing.event_s)
        for clip, part, speed in zip(clips, parts, speeds, strict=True)
    ]
    onsets_s = choose_onsets(as_played_s, mixing, rng)
    events = [
        DrawnEvent(clip, onset_s, onset_s + length_s, part, speed)
        for clip, onset_s, length_s, part, speed in zip(
            clips, onsets_s, as_played_s, parts, speeds, strict=True
        )
    ]
    return Drawn(scene, tuple(sorted(events, key=lambda event: event.onset_s)), level_db)
