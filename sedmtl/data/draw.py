"""Random new mixtures of a training pool, by the rules of the plan; no audio is read."""

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
"""(n,) probability of drawing each of n clips; they sum to 1."""


@dataclass(frozen=True)
class DrawnEvent(PlannedEvent):
    """An event of a new mixture.

    Attributes:
        part: Index of the part of its clip.
        speed: Playback speed relative to the recording.
    """

    part: int
    speed: float


class Drawn(NamedTuple):
    """A new mixture: its scene, its events in order of onset, its SNR."""

    scene: Scene
    events: tuple[DrawnEvent, ...]
    snr_db: float


def join_pools(pools: Iterable[Pool]) -> Pool:
    """Join the pools of all training folds.

    Raises:
        SedmtlError: They have no clip or no scene.
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

    Every scene of the pool is equally likely, and so is every clip unless `chances` are given. A
    clip occurs at most once per mixture, unless the mixture has more events than the pool clips.

    Args:
        pool: Clips and scenes to draw from.
        lengths_s: Lengths of the parts of each clip, by clip name.
        mixing: The rules for onsets and overlap.
        remix: The ranges of SNR, number of events and speed.
        snr_db: SNR if `remix` gives no range.
        rng: Generator of this mixture.
        chances: Probability of each clip of the pool; by default all are equal.
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
    # A slowed-down event is cut at `event_s`, like any other.
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
