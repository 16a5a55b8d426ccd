"""The plan: fold, scene, events and onsets of every mixture, drawn before any audio is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice

import numpy as np
import numpy.typing as npt

from sedmtl.config import Mixing
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.folds import target_of
from sedmtl.data.reservation import LARGEST_SHARE, SHARE, reserve, validation_share
from sedmtl.data.scene_shares import choose_validation, repeated, share_scenes
from sedmtl.events import Event
from sedmtl.runtime.errors import SedmtlError

MIXTURE_NAME = re.compile(r"mix_\d+\.wav")
"""Pattern of mixture names."""


@dataclass(frozen=True)
class PlannedEvent:
    """One event of a mixture: its clip and times."""

    clip: EventClip
    onset_s: float
    offset_s: float

    @property
    def truth(self) -> Event:
        """The event as a strong label."""
        return Event(self.clip.label, self.onset_s, self.offset_s)


@dataclass(frozen=True)
class PlannedMixture:
    """One mixture: its fold (from 1), its scene, and its events in order of onset.

    Attributes:
        validation: Whether it belongs to the inner validation part of its fold, which shares no
            event recording with the rest.
    """

    name: str
    fold: int
    validation: bool
    scene: Scene
    events: tuple[PlannedEvent, ...]


@dataclass(frozen=True)
class Pool:
    """Clips and scenes available for the training mixtures of a fold.

    Recordings and scenes of the fold's inner validation are excluded.
    """

    clips: tuple[EventClip, ...]
    scenes: tuple[Scene, ...]


@dataclass(frozen=True)
class Plan:
    """All mixtures of all folds; the same at every SNR.

    Attributes:
        pools: The pool of each fold, in order of folds.
    """

    classes: tuple[str, ...]
    mixtures: tuple[PlannedMixture, ...]
    pools: tuple[Pool, ...]

    def strong_labels(self) -> dict[str, list[Event]]:
        """The strong labels of every mixture, by mixture name."""
        return {mixture.name: [e.truth for e in mixture.events] for mixture in self.mixtures}

    def text(self) -> str:
        """The plan as YAML, one mixture per line (as JSON, which is written 50 times faster)."""
        lines = [f"classes: {json.dumps(self.classes, ensure_ascii=False)}", "mixtures:"]
        for mixture in self.mixtures:
            row = {
                "name": mixture.name,
                "fold": mixture.fold,
                "validation": mixture.validation,
                "scene": mixture.scene.name,
                "events": [
                    {
                        "clip": event.clip.name,
                        "label": event.clip.label,
                        "onset_s": round(event.onset_s, 6),
                        "offset_s": round(event.offset_s, 6),
                    }
                    for event in mixture.events
                ],
            }
            lines.append(f"- {json.dumps(row, ensure_ascii=False)}")
        return "\n".join([*lines, ""])


def plan(
    clips: Sequence[EventClip],
    scenes: Sequence[Scene],
    durations_s: Mapping[str, float],
    mixing: Mixing,
    rng: np.random.Generator,
) -> Plan:
    """Decide every mixture.

    Args:
        clips: The event clips; unusable ones only count in the assignment of folds.
        scenes: The scenes.
        durations_s: Length of each usable clip by its name; an event is the first
            `mixing.event_s` seconds of its clip.
        mixing: The protocol.
        rng: Draws folds, scenes, order, random onsets and reserved recordings, each from a
            separate stream, so that events and scenes are paired identically whether onsets are
            fixed or random.

    Raises:
        SedmtlError: There are fewer scenes, or fewer recordings, than the protocol needs.
    """
    fold_rng, scene_rng, event_rng, onset_rng, reserve_rng = rng.spawn(5)
    folds = assign_folds([clip.recording for clip in clips], mixing.folds, fold_rng)
    scenes_by_fold = share_scenes(scenes, mixing, scene_rng)
    usable_by_fold = _usable_by_fold(clips, folds, mixing.folds)
    classes = sorted({clip.label for clip in clips if clip.usable})
    reserved = _reserve(usable_by_fold, classes, reserve_rng) if n_validation(mixing) else set()
    mixtures: list[PlannedMixture] = []
    pools: list[Pool] = []
    n_events = mixing.events_per_mixture
    n_digits = len(str(mixing.n_mixtures))
    for fold, (share, usable) in enumerate(zip(scenes_by_fold, usable_by_fold, strict=True)):
        fold_scenes = share.of_mixtures
        kept = [clip for clip in usable if clip.recording not in reserved]
        spared = [clip for clip in usable if clip.recording in reserved]
        validation = choose_validation(fold_scenes, n_validation(mixing) if spared else 0)
        slots = (
            iter(repeated(kept, n_events * validation.count(False), event_rng)),
            iter(repeated(spared, n_events * validation.count(True), event_rng)),
        )
        for scene, in_validation in zip(fold_scenes, validation, strict=True):
            chosen = list(islice(slots[in_validation], n_events))
            name = f"mix_{len(mixtures) + 1:0{n_digits}d}.wav"
            events = _place(chosen, durations_s, mixing, onset_rng)
            mixtures.append(PlannedMixture(name, fold + 1, in_validation, scene, events))
        pools.append(Pool(tuple(kept), share.without(compress(fold_scenes, validation))))
    return Plan(tuple(classes), tuple(mixtures), tuple(pools))


def n_validation(mixing: Mixing) -> int:
    """Mixtures per fold for inner validation; 0 if a single mixture would exceed a fifth."""
    n_mixtures = mixing.mixtures_per_fold
    share = validation_share(mixing.folds * n_mixtures, mixing.folds)
    # A tenth of 30 must be 3, despite rounding.
    n = int(share * n_mixtures + 1e-9)
    return max(1, n) if n_mixtures * LARGEST_SHARE >= 1 else 0


def _usable_by_fold(
    clips: Sequence[EventClip], folds: npt.NDArray[np.uint8], n_folds: int
) -> list[list[EventClip]]:
    """The usable clips of each fold; a fold without any is an error."""
    usable = [
        [clip for clip, f in zip(clips, folds, strict=True) if f == fold and clip.usable]
        for fold in range(1, n_folds + 1)
    ]
    if not all(usable):
        raise SedmtlError(
            f"fold {usable.index([]) + 1} of {n_folds} has no event clip: {len(clips)} clips of "
            f"{len({clip.recording for clip in clips})} recordings are too few; lower "
            "mixing.folds or add recordings"
        )
    return usable


def _reserve(
    usable_by_fold: Sequence[Sequence[EventClip]], classes: Sequence[str], rng: np.random.Generator
) -> set[str]:
    """Choose the recordings reserved for inner validation."""
    rows = [(fold, clip) for fold, usable in enumerate(usable_by_fold, 1) for clip in usable]
    fold = np.array([fold for fold, _ in rows], np.uint8)
    target = target_of([[clip.label] for _, clip in rows], classes)
    recordings = [clip.recording for _, clip in rows]
    chosen = reserve(target, recordings, fold, SHARE, rng)
    return set(compress(recordings, chosen))


def assign_folds(
    recordings: Sequence[str], n_folds: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Assign every row a fold from 1 so that no recording is in two folds.

    The recordings are shuffled and numbered; number n goes to fold `n % n_folds + 1`. If every row
    is a separate recording, as in FSDKaggle2018, this is the paper's rule.

    Returns:
        (n_rows,) uint8.
    """
    unique, row_recording = np.unique(np.asarray(recordings), return_inverse=True)
    number = np.empty(len(unique), np.int64)
    number[rng.permutation(len(unique))] = np.arange(len(unique))
    return (number[row_recording] % n_folds + 1).astype(np.uint8)


def _place(
    clips: Sequence[EventClip],
    durations_s: Mapping[str, float],
    mixing: Mixing,
    rng: np.random.Generator,
) -> tuple[PlannedEvent, ...]:
    """Place events by the rule of `mixing.onsets`; returns them in order of onset."""
    lengths_s = [min(durations_s[clip.name], mixing.event_s) for clip in clips]
    onsets_s = choose_onsets(lengths_s, mixing, rng)
    placed = [
        PlannedEvent(clip, onset_s, onset_s + length_s)
        for clip, onset_s, length_s in zip(clips, onsets_s, lengths_s, strict=True)
    ]
    return tuple(sorted(placed, key=lambda event: event.onset_s))


def choose_onsets(
    lengths_s: Sequence[float], mixing: Mixing, rng: np.random.Generator
) -> Sequence[float]:
    """Choose an onset for each event, by the rule of `mixing.onsets`.

    If there are fewer events than fixed onsets, the onsets are drawn from these at random.
    """
    if mixing.onsets == "random":
        return _random_onsets(lengths_s, mixing, rng)
    onsets_s = mixing.fixed_onsets_s
    if len(lengths_s) == len(onsets_s):
        return onsets_s
    return [float(s) for s in rng.choice(onsets_s, len(lengths_s), replace=False)]


def _random_onsets(
    lengths_s: Sequence[float], mixing: Mixing, rng: np.random.Generator
) -> list[float]:
    """Draw uniform onsets in whole milliseconds; events are disjoint unless overlap is allowed.

    Without overlap, the free time is cut at uniform points and the events are placed at the cuts,
    which makes every arrangement in this order equally likely. Each event occupies whole
    milliseconds; if that leaves too little room, the last events are placed back to back.
    """
    if mixing.overlap:
        rooms_ms = [int(1000 * (mixing.duration_s - length_s)) for length_s in lengths_s]
        return [float(rng.integers(0, room, endpoint=True)) / 1000 for room in rooms_ms]
    begins_ms = np.cumsum([0, *np.ceil(1000 * np.asarray(lengths_s)).astype(np.int64)])
    free_ms = max(0, int(1000 * mixing.duration_s) - int(begins_ms[-1]))
    cuts_ms = np.sort(rng.integers(0, free_ms, size=len(lengths_s), endpoint=True))
    latest_s = np.maximum(0, mixing.duration_s - np.cumsum(lengths_s[::-1])[::-1])
    return [float(s) for s in np.minimum((cuts_ms + begins_ms[:-1]) / 1000, latest_s)]
