"""The plan: fold, scene, events and onsets of every mixture, decided before reading any audio."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sedmtl.config import Mixing
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.reservation import LARGEST_SHARE, SHARE, reserve, validation_share
from sedmtl.events import Event
from sedmtl.runtime.errors import SedmtlError

MIXTURE_NAME = re.compile(r"mix_\d+\.wav")
"""Pattern of the mixtures' names."""


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
    """One mixture: its fold (from 1), its scene, its events in order of onset.

    Attributes:
        validation: Whether it is in the inner validation part of its fold, which shares no
            recording of an event with the rest.
    """

    name: str
    fold: int
    validation: bool
    scene: Scene
    events: tuple[PlannedEvent, ...]


@dataclass(frozen=True)
class Plan:
    """All mixtures of all folds; the same at every SNR."""

    classes: tuple[str, ...]
    mixtures: tuple[PlannedMixture, ...]

    def strong_labels(self) -> dict[str, list[Event]]:
        """The strong labels of every mixture, by its name."""
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
        clips: The event clips; unusable ones only take part in the assignment of folds.
        scenes: The scenes.
        durations_s: Length of each usable clip by its name; an event is the first
            `mixing.event_s` seconds of its clip.
        mixing: The protocol.
        rng: Draws folds, scenes, order, random onsets and reserved recordings, each from a
            separate stream: the same events meet the same scenes whether onsets are fixed or
            random.

    Raises:
        SedmtlError: There are fewer scenes, or fewer recordings, than the protocol needs.
    """
    fold_rng, scene_rng, event_rng, onset_rng, reserve_rng = rng.spawn(5)
    folds = assign_folds([clip.recording for clip in clips], mixing.folds, fold_rng)
    scenes_by_fold = _share_scenes(scenes, mixing, scene_rng)
    usable_by_fold = _usable_by_fold(clips, folds, mixing.folds)
    classes = sorted({clip.label for clip in clips if clip.usable})
    reserved = _reserve(usable_by_fold, classes, reserve_rng) if n_validation(mixing) else set()
    mixtures: list[PlannedMixture] = []
    n_digits = len(str(mixing.folds * mixing.mixtures_per_fold))
    for fold, fold_scenes in enumerate(scenes_by_fold, start=1):
        kept = [clip for clip in usable_by_fold[fold - 1] if clip.recording not in reserved]
        spared = [clip for clip in usable_by_fold[fold - 1] if clip.recording in reserved]
        validation = _choose_validation(fold_scenes, n_validation(mixing) if spared else 0)
        n_slots = mixing.events_per_mixture * sum(validation)
        n_slots_kept = mixing.events_per_mixture * len(validation) - n_slots
        slots = (
            _repeat_shuffled(kept, n_slots_kept, event_rng),
            _repeat_shuffled(spared, n_slots, event_rng),
        )
        for scene, in_validation in zip(fold_scenes, validation, strict=True):
            chosen = [next(slots[in_validation]) for _ in range(mixing.events_per_mixture)]
            name = f"mix_{len(mixtures) + 1:0{n_digits}d}.wav"
            events = _place(chosen, durations_s, mixing, onset_rng)
            mixtures.append(PlannedMixture(name, fold, in_validation, scene, events))
    return Plan(tuple(classes), tuple(mixtures))


def n_validation(mixing: Mixing) -> int:
    """Mixtures per fold for inner validation; 0 if one mixture would exceed a fifth."""
    n_mixtures = mixing.mixtures_per_fold
    share = validation_share(mixing.folds * n_mixtures, mixing.folds)
    # A tenth of 30 is 3, despite rounding.
    n = int(share * n_mixtures + 1e-9)
    return max(1, n) if n_mixtures * LARGEST_SHARE >= 1 else 0


def _usable_by_fold(
    clips: Sequence[EventClip], folds: npt.NDArray[np.uint8], n_folds: int
) -> list[list[EventClip]]:
    """The usable clips of each fold.

    Raises:
        SedmtlError: A fold has none.
    """
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
    """The recordings reserved for the mixtures of inner validation."""
    clips = [clip for usable in usable_by_fold for clip in usable]
    fold = np.repeat(range(1, len(usable_by_fold) + 1), [len(usable) for usable in usable_by_fold])
    target = np.array([[clip.label == label for label in classes] for clip in clips], np.uint8)
    recordings = [clip.recording for clip in clips]
    chosen = reserve(target, recordings, fold.astype(np.uint8), SHARE, rng)
    return {recording for recording, is_reserved in zip(recordings, chosen, strict=True)
            if is_reserved}  # fmt: skip


def _choose_validation(scenes: Sequence[Scene], n_wanted: int) -> list[bool]:
    """Which mixtures of a fold, given their scenes, are for inner validation.

    They are all mixtures of some scenes, so that training has none of these scenes. If every scene
    is used more often than `n_wanted`, they are the last mixtures of the fold.
    """
    uses = Counter(scene.name for scene in scenes)
    chosen: set[str] = set()
    n_chosen = 0
    for name in reversed(uses):
        if n_chosen + uses[name] <= n_wanted:
            chosen.add(name)
            n_chosen += uses[name]
    if not chosen:
        return [i >= len(scenes) - n_wanted for i in range(len(scenes))]
    return [scene.name in chosen for scene in scenes]


def assign_folds(
    recordings: Sequence[str], n_folds: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Give every row a fold from 1 so that no recording is in two.

    The recordings are shuffled and numbered, and fold is `n % n_folds + 1`. If every row is a
    separate recording, as in FSDKaggle2018, this is the recipe's rule.

    Returns:
        (n_rows,) uint8.
    """
    unique, row_recording = np.unique(np.asarray(recordings), return_inverse=True)
    number = np.empty(len(unique), np.int64)
    number[rng.permutation(len(unique))] = np.arange(len(unique))
    return (number[row_recording] % n_folds + 1).astype(np.uint8)


def _repeat_shuffled(
    clips: Sequence[EventClip], n_slots: int, rng: np.random.Generator
) -> Iterator[EventClip]:
    """Every clip once in random order, then all again in another, until the slots are filled."""
    order: list[int] = []
    while len(order) < n_slots:
        order += rng.permutation(len(clips)).tolist()
    return (clips[i] for i in order[:n_slots])


def _share_scenes(
    scenes: Sequence[Scene], mixing: Mixing, rng: np.random.Generator
) -> list[list[Scene]]:
    """The scenes of each fold's mixtures: shuffled, each used once (or within one fold only)."""
    if mixing.location_disjoint:
        shares = _share_locations(scenes, mixing.folds, rng)
    else:
        shuffled = [scenes[i] for i in rng.permutation(len(scenes))]
        # Without reuse the folds take the shuffled scenes in order, as the recipe does.
        size = len(scenes) // mixing.folds
        if not mixing.reuse_scenes:
            size = min(size, mixing.mixtures_per_fold)
        shares = [shuffled[k * size : (k + 1) * size] for k in range(mixing.folds)]
    _check_enough(min(map(len, shares)), scenes, mixing)
    return [_repeat(share, mixing.mixtures_per_fold, rng) for share in shares]


def _check_enough(n_in_smallest: int, scenes: Sequence[Scene], mixing: Mixing) -> None:
    wanted = mixing.mixtures_per_fold
    if n_in_smallest >= wanted or (n_in_smallest and mixing.reuse_scenes):
        return
    n_needed = mixing.folds * (1 if mixing.reuse_scenes else wanted)
    found = f"found {len(scenes)}"
    apart = ""
    if mixing.location_disjoint:
        apart = " with no location in two folds"
        found += f" of {len({scene.location for scene in scenes})} locations"
    hint = "add scenes or lower mixing.folds"
    if n_in_smallest:
        hint = (
            f"set mixing.mixtures_per_fold to at most {n_in_smallest}, or mixing.reuse_scenes to "
            "true"
        )
    raise SedmtlError(
        f"{mixing.folds} folds of {wanted} mixtures need {n_needed} scenes{apart}, {found}: {hint}"
    )


def _share_locations(
    scenes: Sequence[Scene], n_folds: int, rng: np.random.Generator
) -> list[list[Scene]]:
    """Shuffle the locations; assign each to the fold that has the fewest scenes so far."""
    locations: dict[str, list[Scene]] = {}
    for scene in scenes:
        locations.setdefault(scene.location, []).append(scene)
    groups = list(locations.values())
    shares: list[list[Scene]] = [[] for _ in range(n_folds)]
    for i in rng.permutation(len(groups)):
        min(shares, key=len).extend(groups[i])
    return [[share[i] for i in rng.permutation(len(share))] for share in shares]


def _repeat(share: list[Scene], n_wanted: int, rng: np.random.Generator) -> list[Scene]:
    """The scenes in order, then again in other orders until there are enough."""
    repeated = list(share)
    while len(repeated) < n_wanted:
        repeated += [share[i] for i in rng.permutation(len(share))]
    return repeated[:n_wanted]


def _place(
    clips: Sequence[EventClip],
    durations_s: Mapping[str, float],
    mixing: Mixing,
    rng: np.random.Generator,
) -> tuple[PlannedEvent, ...]:
    """Give each event its time."""
    lengths_s = [min(durations_s[clip.name], mixing.event_s) for clip in clips]
    onsets_s = (
        _random_onsets(lengths_s, mixing, rng)
        if mixing.onsets == "random"
        else mixing.fixed_onsets_s
    )
    placed = [
        PlannedEvent(clip, onset_s, onset_s + length_s)
        for clip, onset_s, length_s in zip(clips, onsets_s, lengths_s, strict=True)
    ]
    return tuple(sorted(placed, key=lambda event: event.onset_s))


def _random_onsets(
    lengths_s: Sequence[float], mixing: Mixing, rng: np.random.Generator
) -> list[float]:
    """Uniform onsets in whole milliseconds, apart from each other unless overlap is allowed.

    Without overlap the free time is cut at uniform points and the events are placed at the cuts,
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
