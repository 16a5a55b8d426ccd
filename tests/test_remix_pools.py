"""Remixing draws only from the recordings and scenes of the training folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sedmtl.config import Mixing
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.plan import choose_onsets, plan


def corpus(n_clips=60, n_scenes=40, n_locations=40):
    clips = [
        EventClip(f"{i}.wav", Path(f"{i}.wav"), f"class {i % 3}", f"recording {i // 2}")
        for i in range(n_clips)
    ]
    scenes = [
        Scene(f"scene {i}", Path(f"{i}.wav"), "park", f"place {i % n_locations}")
        for i in range(n_scenes)
    ]
    return clips, scenes


def planned(mixing, **sizes):
    clips, scenes = corpus(**sizes)
    durations_s = {clip.name: 1.0 for clip in clips}
    return plan(clips, scenes, durations_s, mixing, np.random.default_rng(0)), clips, scenes


@pytest.mark.parametrize(
    "changes",
    [{}, {"reuse_scenes": True, "mixtures_per_fold": 25}, {"location_disjoint": True}],
)
def test_pools_of_folds_share_nothing_with_each_other_or_with_inner_validation(changes):
    result, *_ = planned(Mixing(**{"folds": 4, "mixtures_per_fold": 8, "event_s": 1.0, **changes}))
    seen_recordings, seen_scenes = set(), set()
    for mixture in result.mixtures:
        if mixture.validation:
            seen_recordings |= {event.clip.recording for event in mixture.events}
            seen_scenes.add(mixture.scene.name)
    for pool in result.pools:
        recordings = {clip.recording for clip in pool.clips}
        scenes = {scene.name for scene in pool.scenes}
        assert recordings
        assert scenes
        assert not recordings & seen_recordings
        assert not scenes & seen_scenes
        seen_recordings |= recordings
        seen_scenes |= scenes


def test_the_training_mixtures_of_a_fold_are_made_of_its_pool():
    result, *_ = planned(Mixing(folds=4, mixtures_per_fold=8, event_s=1.0))
    for mixture in result.mixtures:
        if not mixture.validation:
            pool = result.pools[mixture.fold - 1]
            assert mixture.scene in pool.scenes
            assert {event.clip for event in mixture.events} <= set(pool.clips)


def test_scenes_that_no_mixture_needs_are_in_some_pool():
    result, _, scenes = planned(Mixing(folds=4, mixtures_per_fold=5, event_s=1.0), n_scenes=43)
    pooled = [scene for pool in result.pools for scene in pool.scenes]
    used = {m.scene.name for m in result.mixtures if m.validation}
    assert {scene.name for scene in pooled} | used == {scene.name for scene in scenes}
    assert len(pooled) == len({scene.name for scene in pooled})


def test_fewer_events_than_fixed_onsets_take_some_of_them():
    mixing = Mixing(event_s=1.0)
    onsets = {
        tuple(sorted(choose_onsets([1.0, 1.0], mixing, np.random.default_rng(seed))))
        for seed in range(40)
    }
    assert onsets == {(0.5, 2.0), (0.5, 3.5), (2.0, 3.5)}
