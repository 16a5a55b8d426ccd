"""Plan and rendering: which events are where, in which fold, and how loud."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from sedmtl.config import Mixing
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.plan import assign_folds, plan
from sedmtl.data.render import EventAudio, render
from sedmtl.events import Event
from sedmtl.runtime.errors import SedmtlError


def make_clips(n=40, n_classes=3, clips_a_recording=1, unusable=()):
    return [
        EventClip(
            f"clip_{i:03d}.wav",
            Path(f"clip_{i:03d}.wav"),
            f"class_{i % n_classes}",
            f"recording_{i // clips_a_recording}",
            usable=i not in unusable,
        )
        for i in range(n)
    ]


def make_scenes(n=40, scenes_a_location=1):
    return [
        Scene(f"scene_{i:03d}.wav", Path(f"scene_{i:03d}.wav"), "x", f"at_{i // scenes_a_location}")
        for i in range(n)
    ]


DURATIONS_S = {clip.name: 0.25 + 0.0999 * i for i, clip in enumerate(make_clips(80))}


def mixing_of(**settings):
    return Mixing(**{"mixtures_per_fold": 10, **settings})


def make_plan(clips=None, scenes=None, seed=0, **settings):
    clips = make_clips() if clips is None else clips
    scenes = make_scenes() if scenes is None else scenes
    return plan(clips, scenes, DURATIONS_S, mixing_of(**settings), np.random.default_rng(seed))


def used_in_fold(planned, fold, validation=None):
    mixtures = [
        mixture
        for mixture in planned.mixtures
        if mixture.fold == fold and validation in (None, mixture.validation)
    ]
    return mixtures, [event for mixture in mixtures for event in mixture.events]


@pytest.mark.parametrize("n_folds", [2, 4, 7])
@pytest.mark.parametrize("clips_a_recording", [1, 3])
def test_no_recording_is_in_two_folds(n_folds, clips_a_recording):
    clips = make_clips(63, clips_a_recording=clips_a_recording)
    recordings = np.array([clip.recording for clip in clips])
    fold = assign_folds(recordings, n_folds, np.random.default_rng(0))
    assert fold.dtype == np.uint8
    assert set(fold) == set(range(1, n_folds + 1))
    homes = [len(set(fold[recordings == recording])) for recording in set(recordings)]
    assert set(homes) == {1}


@pytest.mark.parametrize(("n", "n_folds"), [(40, 4), (41, 4), (43, 4), (9_473, 4), (300, 255)])
def test_folds_of_single_recordings_differ_by_one_at_most(n, n_folds):
    fold = assign_folds([str(i) for i in range(n)], n_folds, np.random.default_rng(0))
    sizes = np.bincount(fold, minlength=n_folds + 1)[1:]
    assert sizes.sum() == n
    assert np.ptp(sizes) <= 1


def test_the_order_of_rows_does_not_affect_the_folds():
    names = [f"{i % 13}" for i in range(50)]
    fold = dict(zip(names, assign_folds(names, 4, np.random.default_rng(5)), strict=True))
    back = names[::-1]
    assert fold == dict(zip(back, assign_folds(back, 4, np.random.default_rng(5)), strict=True))
    assert fold != dict(zip(names, assign_folds(names, 4, np.random.default_rng(6)), strict=True))


def test_the_same_generator_gives_the_same_plan_and_another_seed_another():
    for onsets in ("fixed", "random"):
        assert make_plan(onsets=onsets) == make_plan(onsets=onsets)
        assert make_plan(onsets=onsets) != make_plan(onsets=onsets, seed=1)


def test_a_plan_has_every_fold_and_no_clip_or_scene_in_two():
    planned = make_plan(make_clips(63, clips_a_recording=3), reuse_scenes=True)
    assert Counter(mixture.fold for mixture in planned.mixtures) == dict.fromkeys(range(1, 5), 10)
    recordings, scenes = [], []
    for fold in range(1, 5):
        mixtures, events = used_in_fold(planned, fold)
        recordings += {event.clip.recording for event in events}
        scenes += {mixture.scene.name for mixture in mixtures}
    assert len(recordings) == len(set(recordings))
    assert len(scenes) == len(set(scenes))


def test_names_are_unique_and_sort_as_they_were_made():
    names = [mixture.name for mixture in make_plan(make_clips(), make_scenes(120)).mixtures]
    assert names[0] == "mix_01.wav"
    assert names == sorted(set(names))


def test_every_clip_of_a_fold_is_used_once_before_any_is_used_twice():
    planned = make_plan(make_clips(50))
    for fold in range(1, 5):
        assert len({event.clip.name for event in used_in_fold(planned, fold)[1]}) in (12, 13)
        # Of the clips for training; inner validation has its own, and 2 mixtures.
        events = [event.clip.name for event in used_in_fold(planned, fold, validation=False)[1]]
        n_clips = len(set(events))
        assert len(events) == 24
        assert n_clips in (10, 11, 12)
        # Within a mixture events are ordered by onset, which is the order of their slots.
        assert len(set(events[:n_clips])) == n_clips
        assert len(set(events[n_clips : 2 * n_clips])) == n_clips
        assert events[:n_clips] != events[n_clips : 2 * n_clips]
        assert max(Counter(events).values()) - min(Counter(events).values()) <= 1


def test_unusable_clips_take_part_in_the_folds_but_are_never_mixed():
    unusable = set(range(0, 40, 3))
    all_used, some_used = make_plan(), make_plan(make_clips(unusable=unusable))
    folds = [
        {event.clip.name: mixture.fold for mixture in planned.mixtures for event in mixture.events}
        for planned in (all_used, some_used)
    ]
    assert set(folds[1]) == {clip.name for clip in make_clips(unusable=unusable) if clip.usable}
    assert folds[1].items() <= folds[0].items()


def test_classes_are_those_of_usable_clips_in_order():
    assert make_plan().classes == ("class_0", "class_1", "class_2")
    without = make_plan(make_clips(unusable=set(range(0, 40, 3))))
    assert without.classes == ("class_1", "class_2")


def test_each_scene_is_used_once():
    scenes = [mixture.scene.name for mixture in make_plan().mixtures]
    assert len(scenes) == len(set(scenes)) == 40
    assert scenes != sorted(scenes)


@pytest.mark.parametrize("location_disjoint", [False, True])
def test_reused_scenes_are_all_used_before_any_is_used_twice(location_disjoint):
    planned = make_plan(
        scenes=make_scenes(23), reuse_scenes=True, location_disjoint=location_disjoint
    )
    for fold in range(1, 5):
        counts = Counter(mixture.scene.name for mixture in used_in_fold(planned, fold)[0])
        assert len(counts) in (5, 6)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_no_location_is_in_two_folds_on_request():
    settings = {"scenes": make_scenes(80, scenes_a_location=4), "mixtures_per_fold": 12}
    for location_disjoint in (True, False):
        planned = make_plan(location_disjoint=location_disjoint, **settings)
        folds = {}
        for mixture in planned.mixtures:
            folds.setdefault(mixture.scene.location, set()).add(mixture.fold)
        assert (max(map(len, folds.values())) == 1) == location_disjoint
        assert Counter(m.fold for m in planned.mixtures) == dict.fromkeys(range(1, 5), 12)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"scenes": make_scenes(39)},
            r"need 40 scenes, found 39: .* at most 9, or mixing.reuse_sc",
        ),
        ({"scenes": make_scenes(3)}, r"need 40 scenes, found 3: add scenes or lower mixing.folds"),
        ({"scenes": []}, r"need 40 scenes, found 0: add scenes"),
        ({"scenes": make_scenes(3), "reuse_scenes": True}, r"need 4 scenes, found 3: add scenes"),
        (
            {"scenes": make_scenes(60, scenes_a_location=20), "location_disjoint": True},
            r"no location in two folds, found 60 of 3 locations: add scenes or lower mixing.folds",
        ),
        (
            {"scenes": make_scenes(44, scenes_a_location=8), "location_disjoint": True},
            r"no location in two folds, found 44 of 6 locations: set .* to at most 8, or",
        ),
        ({"clips": make_clips(3)}, r"fold 4 of 4 has no event clip: 3 clips of 3 recordings"),
        ({"clips": make_clips(9, clips_a_recording=9)}, r"fold 2 of 4 .* 9 clips of 1 recordings"),
    ],
)
def test_an_impossible_plan_is_one_sentence_that_says_what_is_possible(settings, sentence):
    with pytest.raises(SedmtlError, match=sentence):
        make_plan(**settings)


@pytest.mark.parametrize("location_disjoint", [False, True])
def test_as_many_mixtures_as_the_sentence_says_can_be_planned(location_disjoint):
    settings = {"scenes": make_scenes(45, 4), "location_disjoint": location_disjoint}
    with pytest.raises(SedmtlError) as caught:
        make_plan(**settings, mixtures_per_fold=30)
    possible = int(re.search(r"at most (\d+)", str(caught.value))[1])
    planned = make_plan(**settings, mixtures_per_fold=possible)
    assert len(planned.mixtures) == 4 * possible
    with pytest.raises(SedmtlError):
        make_plan(**settings, mixtures_per_fold=possible + 1)


def test_the_papers_events_begin_at_half_a_second_three_and_five_and_a_half():
    mixing = Mixing()
    assert mixing.n_samples == 320_000
    for mixture in make_plan().mixtures:
        assert [event.onset_s for event in mixture.events] == [0.5, 3.0, 5.5]


@pytest.mark.parametrize("onsets", ["fixed", "random"])
def test_an_event_is_the_first_two_seconds_of_its_clip_or_all_of_it(onsets):
    events = [event for m in make_plan(onsets=onsets).mixtures for event in m.events]
    lengths_s = {event.clip.name: event.offset_s - event.onset_s for event in events}
    expected_s = {name: min(DURATIONS_S[name], 2.0) for name in lengths_s}
    assert lengths_s == pytest.approx(expected_s, abs=1e-9)
    assert min(expected_s.values()) < max(expected_s.values()) == 2.0


RANDOM = [
    {},
    {"duration_s": 6.0},
    {"duration_s": 2.01, "event_s": 2.01, "events_per_mixture": 1},
    {"duration_s": 0.9999, "event_s": 0.3333},
    {"duration_s": 1.5, "event_s": 0.3001, "events_per_mixture": 4},
]


@pytest.mark.parametrize("settings", RANDOM)
@pytest.mark.parametrize("overlap", [False, True])
def test_random_onsets_lie_inside_and_overlap_only_if_they_may(settings, overlap):
    settings = {"mixtures_per_fold": 200, **settings}
    planned = make_plan(scenes=make_scenes(800), onsets="random", overlap=overlap, **settings)
    n_overlaps = 0
    for mixture in planned.mixtures:
        onsets = np.array([event.onset_s for event in mixture.events])
        offsets = np.array([event.offset_s for event in mixture.events])
        assert (onsets >= 0).all()
        assert (np.diff(onsets) >= 0).all()
        # 1e-9 s covers the last bits of sums of seconds.
        assert offsets.max() <= settings.get("duration_s", 10.0) + 1e-9
        n_overlaps += int((onsets[1:] < offsets[:-1] - 1e-9).sum())
    if len(planned.mixtures[0].events) > 1:
        assert (n_overlaps > 0) == overlap
    else:
        assert n_overlaps == 0


def test_random_onsets_reach_from_the_beginning_to_the_end():
    planned = make_plan(scenes=make_scenes(4_000), onsets="random", mixtures_per_fold=1_000)
    first = [mixture.events[0].onset_s for mixture in planned.mixtures]
    last = [mixture.events[-1].offset_s for mixture in planned.mixtures]
    assert min(first) < 0.05
    assert max(last) > 9.95
    # Free time is cut at three uniform points: the first gap averages a quarter of it.
    free = [10 - sum(e.offset_s - e.onset_s for e in m.events) for m in planned.mixtures]
    assert np.mean(first) == pytest.approx(np.mean(free) / 4, rel=0.05)


def test_given_onsets_are_used_and_their_events_stand_in_order():
    planned = make_plan(onsets=(6.0, 0.25, 3.0))
    for mixture in planned.mixtures:
        assert [event.onset_s for event in mixture.events] == [0.25, 3.0, 6.0]


def test_the_text_of_a_plan_is_yaml_that_says_what_the_plan_says():
    clips = make_clips()
    strange = {0: 'a "quoted": #name', 1: "Türglocke – ☎", 2: "yes"}
    clips = [EventClip(c.name, c.path, strange[i % 3], c.recording) for i, c in enumerate(clips)]
    planned = make_plan(clips, onsets="random")
    data = yaml.safe_load(planned.text())
    assert data["classes"] == sorted(strange.values())
    assert len(data["mixtures"]) == len(planned.mixtures)
    for row, mixture in zip(data["mixtures"], planned.mixtures, strict=True):
        assert (row["name"], row["fold"]) == (mixture.name, mixture.fold)
        assert row["validation"] is mixture.validation
        assert row["scene"] == mixture.scene.name
        for event, meant in zip(row["events"], mixture.events, strict=True):
            assert (event["clip"], event["label"]) == (meant.clip.name, meant.clip.label)
            assert event["onset_s"] == pytest.approx(meant.onset_s, abs=1e-6)
            assert event["offset_s"] == pytest.approx(meant.offset_s, abs=1e-6)


def test_strong_labels_are_the_planned_events():
    planned = make_plan()
    labels = planned.strong_labels()
    assert list(labels) == [mixture.name for mixture in planned.mixtures]
    first = planned.mixtures[0].events[1]
    event = Event(first.clip.label, first.onset_s, first.offset_s)
    assert labels["mix_01.wav"][1] == first.truth == event


# --- Rendering ---------------------------------------------------------------------------------

N_SAMPLES = 8_000
ONSETS = (400, 3_000, 5_600)
SNRS_DB = (-5.0, 0.0, 10.0, 20.0)


def rms(x):
    return np.sqrt(np.mean(np.square(np.asarray(x, np.float64))))


def noise(seed, n, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=n).astype(np.float32)


@pytest.fixture(scope="module")
def sounds():
    """Three decaying events of different lengths and levels, and a scene."""
    segments = [
        noise(k, n, scale) * np.exp(-np.arange(n, dtype=np.float32) / n)
        for k, (n, scale) in enumerate([(2_000, 0.5), (700, 0.01), (2_400, 0.9)])
    ]
    return segments, noise(9, N_SAMPLES, 0.2)


def test_the_snr_on_the_stems_is_the_one_asked_for(sounds):
    segments, scene = sounds
    events = [EventAudio(segment, rms(segment)) for segment in segments]
    assert [event.snr_offset_db for event in events] == pytest.approx([0, 0, 0], abs=1e-6)
    made = render(events, ONSETS, scene, N_SAMPLES, SNRS_DB)
    for snr_db, rendered in zip(SNRS_DB, made, strict=True):
        event_stem, scene_stem = rendered.stems
        for segment, onset in zip(segments, ONSETS, strict=True):
            heard = event_stem[onset : onset + len(segment)]
            # Rounding to int16 adds 1/sqrt(12) to levels of several hundred: below 0.001 dB.
            measured = 20 * np.log10(rms(heard) / rms(scene_stem))
            assert measured == pytest.approx(snr_db, abs=0.05)


def test_a_level_below_that_of_the_segment_raises_the_realised_snr_by_as_much(sounds):
    segments, scene = sounds
    events = [EventAudio(segments[0], rms(segments[0]) / 4)]
    assert events[0].snr_offset_db == pytest.approx(20 * np.log10(4), abs=1e-6)
    (rendered,) = render(events, [100], scene, N_SAMPLES, [3.0])
    event_stem, scene_stem = rendered.stems
    measured = 20 * np.log10(rms(event_stem[100:2_100]) / rms(scene_stem))
    assert measured == pytest.approx(3 + events[0].snr_offset_db, abs=0.05)


@pytest.mark.parametrize("overlapping", [False, True])
def test_a_mixture_is_the_recipes_formula(sounds, overlapping):
    segments, scene = sounds
    onsets = (0, 500, 5_600) if overlapping else ONSETS
    events = [EventAudio(segment, rms(segment)) for segment in segments]
    for snr_db, rendered in zip(
        SNRS_DB, render(events, onsets, scene, N_SAMPLES, SNRS_DB), strict=True
    ):
        loud = np.zeros(N_SAMPLES)
        for segment, onset in zip(segments, onsets, strict=True):
            unit = segment.astype(np.float64) / rms(segment)
            loud[onset : onset + len(segment)] += 10 ** (snr_db / 20) * unit
        quiet = scene.astype(np.float64) / rms(scene)
        expected = (loud + quiet) / (2 * max(np.abs(loud).max(), np.abs(quiet).max()))
        assert rendered.waveform.dtype == rendered.stems.dtype == np.int16
        # One step of int16: half by rounding, the rest if float32 rounds the other way.
        np.testing.assert_allclose(rendered.waveform / 32_767, expected, rtol=0, atol=1 / 32_767)


@pytest.mark.parametrize("snr_db", [-100, -20, 0, 20, 100])
@pytest.mark.parametrize("kind", ["noise", "squares in phase", "squares against"])
def test_stems_sum_to_the_mixture_and_nothing_clips(snr_db, kind):
    t = np.arange(N_SAMPLES)
    square = np.where(t // 50 % 2, np.float32(0.7), np.float32(-0.7))
    sign = np.float32(-1 if kind == "squares against" else 1)
    event, scene = (noise(0, 4_000), noise(1, N_SAMPLES))
    if kind != "noise":
        event, scene = sign * square[:4_000], square
    (rendered,) = render([EventAudio(event, rms(event))], [0], scene, N_SAMPLES, [snr_db])
    waveform, stems = rendered.waveform.astype(int), rendered.stems.astype(int)
    assert np.array_equal(stems.sum(axis=0), waveform)
    assert np.abs(waveform).max() <= 32_767
    # No overflow: the louder stem peaks at half of full scale, within a step.
    assert np.abs(np.abs(stems).max() - 16_383.5) <= 1
    if kind == "squares in phase" and snr_db == 0:
        assert np.abs(waveform).max() == 32_767


def test_a_short_scene_starts_over_and_a_long_one_is_cut(sounds):
    segments, scene = sounds
    events = [EventAudio(segments[0], 0.5)]
    short, whole = scene[:3_000], np.concatenate([scene[:3_000]] * 3)
    made = [
        next(iter(render(events, [0], each, N_SAMPLES, [10]))).waveform
        for each in (short, whole[:N_SAMPLES], whole, np.concatenate([whole, 9 * scene]))
    ]
    for other in made[1:]:
        assert np.array_equal(made[0], other)


def test_the_level_of_a_recording_does_not_matter(sounds):
    segments, scene = sounds
    made = []
    for gain in (1.0, 2.0**-20):
        loud = np.float32(gain) * segments[0]
        events = [EventAudio(loud, rms(loud))]
        made.append(next(iter(render(events, [0], scene / np.float32(gain), N_SAMPLES, [0]))))
    assert np.array_equal(made[0].waveform, made[1].waveform)


def test_an_event_beyond_the_end_is_cut_there(sounds):
    segments, scene = sounds
    events = [EventAudio(segments[0], rms(segments[0]))]
    (rendered,) = render(events, [N_SAMPLES - 10], scene, N_SAMPLES, [0])
    assert rendered.waveform.shape == (N_SAMPLES,)
    assert rendered.stems[0, -10:].any()
    assert not rendered.stems[0, :-10].any()


def test_an_event_that_begins_with_silence_leaves_the_scene_alone(sounds):
    silent = EventAudio(np.zeros(2_000, np.float32), 0.5)
    assert silent.snr_offset_db == -np.inf
    (rendered,) = render([silent], [0], sounds[1], N_SAMPLES, [0])
    assert not rendered.stems[0].any()
    assert np.abs(rendered.waveform).max() == pytest.approx(16_383.5, abs=1)


def test_moved_onsets_leave_events_scenes_and_folds_as_they_were():
    fixed, moved = (make_plan(onsets=onsets) for onsets in ("fixed", "random"))
    assert [m.scene for m in fixed.mixtures] == [m.scene for m in moved.mixtures]
    for field in ("fold", "validation"):
        ours, theirs = ([getattr(m, field) for m in p.mixtures] for p in (fixed, moved))
        assert ours == theirs
    assert [[e.clip for e in m.events] for m in fixed.mixtures] == [
        [e.clip for e in m.events] for m in moved.mixtures
    ]
    assert fixed.strong_labels() != moved.strong_labels()


def part_of(planned, held_out, validation):
    """The training or validation mixtures of a run that holds out this fold."""
    return [m for m in planned.mixtures if m.fold != held_out and m.validation == validation]


@pytest.mark.parametrize("clips_a_recording", [1, 2])
@pytest.mark.parametrize("held_out", [1, 2, 3, 4])
def test_inner_validation_shares_no_recording_with_training_and_has_every_class(
    held_out, clips_a_recording
):
    clips = make_clips(80, clips_a_recording=clips_a_recording)
    planned = make_plan(clips, mixtures_per_fold=40, reuse_scenes=True)
    parts = [part_of(planned, held_out, validation) for validation in (False, True)]
    recordings, labels = (
        [{getattr(e.clip, field) for m in part for e in m.events} for part in parts]
        for field in ("recording", "label")
    )
    assert recordings[0].isdisjoint(recordings[1])
    assert labels == [set(planned.classes)] * 2


@pytest.mark.parametrize(
    ("n_mixtures", "n_reserved"), [(2_000, 200), (100, 10), (40, 8), (20, 4), (6, 1), (4, 0)]
)
def test_a_tenth_of_the_mixtures_is_for_validation_and_more_of_few(n_mixtures, n_reserved):
    planned = make_plan(mixtures_per_fold=n_mixtures, scenes=make_scenes(4 * n_mixtures))
    counts = Counter(mixture.fold for mixture in planned.mixtures if mixture.validation)
    assert counts == (dict.fromkeys(range(1, 5), n_reserved) if n_reserved else {})


@pytest.mark.parametrize(("n_scenes", "apart"), [(80, True), (400, True), (16, False)])
def test_validation_has_scenes_of_its_own_where_there_are_enough(n_scenes, apart):
    planned = make_plan(mixtures_per_fold=40, scenes=make_scenes(n_scenes), reuse_scenes=True)
    train, validation = ({m.scene.name for m in planned.mixtures if m.validation == part}
                         for part in (False, True))  # fmt: skip
    assert train.isdisjoint(validation) is apart
    assert 16 <= sum(m.validation for m in planned.mixtures) <= 32


def test_reserving_leaves_folds_and_scenes_as_they_were():
    few, many = (make_plan(mixtures_per_fold=n, scenes=make_scenes(80), reuse_scenes=True)
                 for n in (4, 20))  # fmt: skip
    assert not any(m.validation for m in few.mixtures)
    for fold in range(1, 5):
        (first, events), (second, more) = (used_in_fold(planned, fold) for planned in (few, many))
        assert [m.scene for m in first] == [m.scene for m in second][:4]
        assert {e.clip.name for e in events} <= {e.clip.name for e in more}


def test_recordings_too_few_to_share_are_all_trained_on():
    planned = make_plan(make_clips(4, n_classes=1), mixtures_per_fold=10)
    assert not any(mixture.validation for mixture in planned.mixtures)
