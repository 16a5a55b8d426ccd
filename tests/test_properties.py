"""Properties of plans, mixtures, stores, events, settings and texts, on many inputs."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from sedmtl.classes import class_name
from sedmtl.config import Config, Mixing, load_config
from sedmtl.data.audio.containers import check_whole, ogg_checksum
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.plan import plan
from sedmtl.data.render import EventAudio, render
from sedmtl.events import Event, strong_label_text
from sedmtl.inference.postprocess import PostProcessing, Segmenter, segment
from sedmtl.label_files import read_strong_labels
from sedmtl.runtime.documents import parse_json, parse_yaml
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import (
    FULL_SCALE,
    ClipTable,
    EventTable,
    HeldOutScores,
    RowArray,
    Store,
    StoreWriter,
    read_scores,
    write_scores,
)

pytestmark = pytest.mark.slow


def trials(n):
    """The same `n` examples each time, without a deadline, as machines may be slow."""
    return settings(
        derandomize=True, deadline=None, database=None, max_examples=n,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip


seeds = st.integers(0, 2**32 - 1)


def attempt(do, refusal=SedmtlError):
    """The result and None, or None and the message of the refusal."""
    try:
        return do(), None
    except refusal as error:
        return None, str(error)


# Plans.


@st.composite
def corpora(draw):
    """A corpus and mixing settings, most of which can be planned."""
    folds = draw(st.integers(2, 4))
    recordings = draw(st.lists(st.integers(0, 30), min_size=folds * 3, max_size=40))
    clips = [
        EventClip(f"{k}.wav", Path(f"{k}.wav"), draw(st.sampled_from("abc")), f"r{recording}",
                  usable=draw(st.integers(0, 9)) > 0)
        for k, recording in enumerate(recordings)
    ]  # fmt: skip
    n_scenes = draw(st.integers(folds, 30))
    scenes = [Scene(f"s{k}", Path(f"s{k}"), "park", f"l{draw(st.integers(0, 12))}")
              for k in range(n_scenes)]  # fmt: skip
    n_events = draw(st.integers(1, 4))
    overlap = draw(st.booleans())
    event_s = draw(st.sampled_from([0.25, 0.1, 1 / 3, 1.0]))
    mixing = Mixing(
        duration_s=draw(st.floats(n_events * event_s, 12)),
        folds=folds,
        mixtures_per_fold=draw(st.integers(1, 6)),
        events_per_mixture=n_events,
        event_s=event_s,
        onsets="random",
        overlap=overlap,
        location_disjoint=draw(st.booleans()),
        reuse_scenes=draw(st.integers(0, 3)) > 0,
    )
    durations_s = {clip.name: draw(st.floats(0.01, 3)) for clip in clips}
    return clips, scenes, durations_s, mixing, draw(seeds)


def made_plan(corpus):
    clips, scenes, durations_s, mixing, seed = corpus
    try:
        return plan(clips, scenes, durations_s, mixing, np.random.default_rng(seed))
    except SedmtlError:
        assume(False)
        raise


@trials(90)
@given(corpora())
def test_a_plan_keeps_folds_apart_and_uses_everything_evenly(corpus):
    clips, _, _, mixing, _ = corpus
    made = made_plan(corpus)
    assert Counter(m.fold for m in made.mixtures) == dict.fromkeys(
        range(1, mixing.folds + 1), mixing.mixtures_per_fold
    )
    uses = defaultdict(Counter)
    scenes_of, locations_of, recordings_of = (defaultdict(set) for _ in range(3))
    for mixture in made.mixtures:
        scenes_of[mixture.scene.name].add(mixture.fold)
        locations_of[mixture.scene.location].add(mixture.fold)
        part = (mixture.fold, mixture.validation)
        for event in mixture.events:
            assert event.clip.usable
            recordings_of[event.clip.recording].add(part)
            uses[part][event.clip.name] += 1
    assert all(len(folds) == 1 for folds in scenes_of.values())
    assert all(len(parts) == 1 for parts in recordings_of.values())
    if mixing.location_disjoint:
        assert all(len(folds) == 1 for folds in locations_of.values())
    if not mixing.reuse_scenes:
        assert len(scenes_of) == len(made.mixtures)
    for counts in uses.values():
        assert max(counts.values()) - min(counts.values()) <= 1
        if max(counts.values()) > 1:  # then no clip of this part was left out
            own = {clip.recording for clip in clips if clip.name in counts}
            assert {c.name for c in clips if c.recording in own and c.usable} <= counts.keys()


@trials(90)
@given(corpora())
def test_planned_events_lie_in_their_clip_and_apart(corpus):
    _, _, durations_s, mixing, _ = corpus
    for mixture in made_plan(corpus).mixtures:
        assert len(mixture.events) == mixing.events_per_mixture
        for event in mixture.events:
            assert 0 <= event.onset_s < event.offset_s <= mixing.duration_s + 1e-9
            length_s = min(durations_s[event.clip.name], mixing.event_s)
            assert event.offset_s - event.onset_s == pytest.approx(length_s)
        for first, second in pairwise(mixture.events):
            assert first.onset_s <= second.onset_s
            assert mixing.overlap or first.offset_s <= second.onset_s + 1e-9


@trials(30)
@given(corpora())
def test_a_plan_follows_from_its_seed(corpus):
    assert made_plan(corpus) == made_plan(corpus)


# Mixtures.


@st.composite
def sounds(draw):
    """A scene and events of noise, some too long for the mixture."""
    rng = np.random.default_rng(draw(seeds))
    n_samples = draw(st.integers(400, 1500))
    scene = rng.normal(scale=draw(st.floats(1e-3, 1)), size=draw(st.integers(50, 2000)))
    events, onsets = [], []
    for _ in range(draw(st.integers(1, 3))):
        wave = rng.normal(scale=draw(st.floats(1e-3, 1)), size=draw(st.integers(300, 800)))
        level = float(np.sqrt(np.mean(np.square(wave))))
        events.append(EventAudio(wave.astype(np.float32), level))
        onsets.append(draw(st.integers(0, n_samples - 1)))
    return events, onsets, scene.astype(np.float32), n_samples


@trials(60)
@given(sounds(), st.lists(st.floats(-100, 100), min_size=1, max_size=3))
def test_stems_sum_to_the_mixture_and_its_peak_has_room(world, snrs_db):
    for rendered in render(*world, snrs_db):
        assert np.array_equal(rendered.stems.astype(int).sum(axis=0), rendered.waveform)
        # (a + b) / (2 max(|a|, |b|)) is at most 1; rounding moves a stem by half a step.
        assert np.abs(rendered.waveform.astype(int)).max() <= FULL_SCALE
        assert np.abs(rendered.stems.astype(int)).max() <= FULL_SCALE // 2 + 2


@trials(36)
@given(sounds(), st.floats(-20, 20))
def test_a_single_event_has_the_requested_snr(world, snr_db):
    events, _, scene, n_samples = world
    [rendered] = render(events[:1], [0], scene, max(n_samples, 800), [snr_db])
    n_audio_frames = len(events[0].segment)
    event, background = rendered.stems.astype(float)
    ratio = np.sqrt(np.mean(event[:n_audio_frames] ** 2) / np.mean(background**2))
    # Stems are rounded to integers, whose RMS is above 100 here: 0.5 / 100 is 0.04 dB.
    assert 20 * np.log10(ratio) == pytest.approx(snr_db, abs=0.1)


# Stores.

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@st.composite
def tables(draw):
    n, classes = draw(st.integers(1, 8)), draw(st.lists(names, min_size=1, max_size=4))
    n_events = draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(seeds))
    onset_s = rng.uniform(0, 5, n_events).astype(np.float32)
    events = EventTable(
        mixture=np.sort(rng.integers(0, n, n_events)).astype(np.int32),
        label=rng.integers(0, len(classes), n_events).astype(np.int16),
        onset_s=onset_s,
        offset_s=onset_s + np.float32(0.5),
        snr_db=draw(st.sampled_from([np.nan, -np.inf, 3.5])) * np.ones(n_events, np.float32),
        source=draw(st.lists(names, min_size=n_events, max_size=n_events)),
    )
    clips = ClipTable(
        name=draw(st.lists(names, min_size=n, max_size=n)),
        target=rng.integers(0, 2, (n, len(classes))).astype(np.uint8),
        fold=rng.integers(1, 5, n).astype(np.uint8),
        validation=rng.integers(0, 2, n).astype(np.uint8),
        scene=draw(st.lists(names, min_size=n, max_size=n)),
        events=events,
    )
    return clips, classes, rng.normal(size=(n, 3, 2)).astype(np.float32)


def same(one, other):
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        if isinstance(a, np.ndarray)
        else list(a) == list(b)
        for a, b in zip(astuple(one), astuple(other), strict=True)
    )


class Stop(Exception):  # noqa: N818 - an interruption, not an error
    """Interrupts a writer."""


def written(path, clips, classes, rows, stops):
    """Write a store, with interruptions after these rows."""
    for stop in [*stops, len(rows)]:
        try:
            attributes = {"classes": classes}
            arrays = {"logmel": RowArray(rows.shape[1:], np.float32)}
            with StoreWriter(path, arrays, clips, attributes) as writer:
                for row in range(writer.n_done, stop):
                    writer.write(row, logmel=rows[row : row + 1])
                if stop < len(rows):
                    raise Stop
                writer.finish()
        except Stop:
            pass
    return path.read_bytes()


@trials(36)
@given(tables(), st.lists(st.integers(0, 8), max_size=4))
def test_a_store_comes_back_and_has_the_same_bytes_however_it_was_interrupted(world, stops):
    clips, classes, rows = world
    with tempfile.TemporaryDirectory() as folder:
        stops = [stop for stop in stops if stop < len(rows)]
        broken = written(Path(folder, "a.h5"), clips, classes, rows, stops)
        assert broken == written(Path(folder, "b.h5"), clips, classes, rows, [])
        with Store(Path(folder, "a.h5"), "logmel") as store:
            assert list(store.classes) == classes
            assert np.array_equal(store.read(range(len(rows))), rows)
            for column in ("name", "scene"):
                assert list(getattr(store.clips, column)) == list(getattr(clips, column))
            assert np.array_equal(store.clips.target, clips.target)
            assert np.array_equal(store.clips.fold, clips.fold)
            assert np.array_equal(store.clips.validation, clips.validation)
            assert same(store.clips.events, clips.events)


def scores_of(world):
    clips, classes, _ = world
    rng, n = np.random.default_rng(0), len(clips.name)
    return HeldOutScores(
        classes=classes,
        name=list(clips.name),
        target=clips.target,
        prior=rng.random(len(classes), np.float32),
        score={"honest": rng.random((n, len(classes)), np.float32)},
        epoch={"honest": 3},
        frame=rng.random((n, len(classes), 7)).astype(np.float16),
        frame_edges_s=np.linspace(0, 1, 8),
        duration_s=1.0,
        events=clips.events,
    )


def same_scores(one, other):
    arrays = ("target", "prior", "frame", "frame_edges_s")
    return (
        (one.classes, one.name, one.epoch, one.duration_s)
        == (other.classes, other.name, other.epoch, other.duration_s)
        and all(np.array_equal(getattr(one, key), getattr(other, key)) for key in arrays)
        and np.array_equal(one.score["honest"], other.score["honest"])
        and same(one.events, other.events)
    )


@trials(40)
@given(tables())
def test_held_out_scores_come_back(world):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scores.h5")
        write_scores(path, scores_of(world))
        assert same_scores(read_scores(path), scores_of(world))


@pytest.fixture(scope="module")
def scores_file(tmp_path_factory):
    events = EventTable(np.array([0, 1], np.int32), np.array([0, 1], np.int16),
                        np.array([0, 0.5], np.float32), np.array([0.3, 0.9], np.float32),
                        np.array([3, np.nan], np.float32), ["x.wav", "yy.wav"])  # fmt: skip
    clips = ClipTable(["a.wav", "bb.wav"], np.eye(2, dtype=np.uint8), np.ones(2, np.uint8),
                      np.zeros(2, np.uint8), ["", ""], events)  # fmt: skip
    path = tmp_path_factory.mktemp("scores") / "scores.h5"
    write_scores(path, scores_of((clips, ["Glöckchen", "dog"], None)))
    return path, path.read_bytes(), read_scores(path)


@trials(360)
@given(at=st.integers(0, 2**20), flip=st.integers(1, 255))
def test_a_flipped_byte_of_held_out_scores_changes_nothing_or_is_detected(scores_file, at, flip):
    path, content, scores = scores_file
    broken = bytearray(content)
    broken[at % len(content)] ^= flip
    path.write_bytes(broken)
    found, refusal = attempt(lambda: read_scores(path))
    assert "scores.h5" in refusal if refusal else same_scores(found, scores)


# Events.


@st.composite
def tracks(draw):
    """Frame scores, settings to segment them, and where to cut their stream."""
    n_classes, n_frames = draw(st.integers(1, 3)), draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(seeds))
    # Few levels, so that ties and runs are common.
    frame = (rng.integers(0, 6, (n_classes, n_frames)) / 5).astype(np.float32)
    frame = np.repeat(frame, draw(st.integers(1, 3)), axis=1)
    hop_s = draw(st.sampled_from([0.1, 0.032, 1 / 3]))
    how = PostProcessing(
        threshold=tuple(draw(st.sampled_from([0.0, 0.3, 0.4, 0.7])) for _ in range(n_classes)),
        low=draw(st.sampled_from([1.0, 0.5, 0.0])),
        median_s=draw(st.sampled_from([0.0, 0.1, 0.35])),
        step_s=draw(st.sampled_from([0.0, 0.0, 0.2, 0.5])),
        gap_s=draw(st.sampled_from([0.0, 0.1, 0.3, 1.0])),
        min_duration_s=draw(st.sampled_from([0.0, 0.1, 0.3, 1.0])),
    )
    cuts = sorted(draw(st.lists(st.integers(0, frame.shape[1]), max_size=5)))
    return frame, how, hop_s, cuts


@trials(120)
@given(tracks(), st.sampled_from([0.0, 0.016]))
def test_events_are_in_order_within_bounds_apart_and_long_enough(track, first_edge_s):
    frame, how, hop_s, _ = track
    events = segment(frame, how, range(len(frame)), hop_s, first_edge_s)
    assert [(e.onset_s, e.label) for e in events] == sorted((e.onset_s, e.label) for e in events)
    end_s = first_edge_s + frame.shape[1] * hop_s
    for event in events:
        assert first_edge_s <= event.onset_s < event.offset_s <= end_s + 1e-9
        assert event.offset_s - event.onset_s >= how.min_duration_s - 1e-6
        assert event.score > how.threshold[event.label]
    for label in range(len(frame)):
        for first, second in pairwise([e for e in events if e.label == label]):
            assert second.onset_s - first.offset_s > how.gap_s - 1e-6
            assert second.onset_s > first.offset_s


@trials(120)
@given(tracks())
def test_events_do_not_depend_on_where_the_stream_is_cut(track):
    frame, how, hop_s, cuts = track
    segmenter = Segmenter(how, range(len(frame)), hop_s)
    events = [e for piece in np.split(frame, cuts, axis=1) for e in segmenter.push(piece)]
    events += segmenter.finish()
    assert sorted(events, key=lambda e: (e.onset_s, e.label)) == segment(
        frame, how, range(len(frame)), hop_s
    )


def active(frame, threshold, hop_s):
    """The frames (C, T) that are in an event, at a plain threshold."""
    how = PostProcessing(threshold=(threshold,) * len(frame))
    inside = np.zeros(frame.shape, bool)
    for label, onset_s, offset_s, _ in segment(frame, how, range(len(frame)), hop_s):
        inside[label, round(onset_s / hop_s) : round(offset_s / hop_s)] = True
    return inside


@trials(60)
@given(tracks(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_finds_no_frame_that_a_lower_one_does_not(track, one, other):
    frame, _, hop_s, _ = track
    low, high = (active(frame, threshold, hop_s) for threshold in sorted([one, other]))
    assert not (high & ~low).any()
    assert np.array_equal(low, frame.astype(np.float64) > min(one, other))


# Settings.

paths = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1,
                max_size=8).filter(lambda text: text.strip(". ") and text[0] != "~")  # fmt: skip
corpus_parts = st.fixed_dictionaries({"kind": st.just("folder"), "root": paths})


@st.composite
def documents(draw):
    """A data.yaml with something in every section."""
    event_s, n_events = draw(st.floats(0.01, 1)), draw(st.integers(1, 4))
    rate = draw(st.integers(4_000, 96_000))
    return {
        "workdir": draw(paths),
        "corpus": draw(st.fixed_dictionaries({}, optional={
            "events": corpus_parts, "scenes": corpus_parts,
            "clips": st.fixed_dictionaries({"csv": paths}, optional={"strong": paths})})),
        "mixing": {
            "sample_rate": rate,
            "duration_s": draw(st.floats(4.5, 60)),
            "snrs_db": draw(st.lists(st.integers(-100, 100), min_size=1, unique=True)),
            "folds": draw(st.integers(2, 255)),
            "event_s": event_s,
            "events_per_mixture": n_events,
            "onsets": draw(st.sampled_from(["random", [k * event_s for k in range(n_events)]])),
            "overlap": draw(st.booleans()),
            "snr_over": draw(st.sampled_from(["file", "segment"])),
            "seed": draw(st.integers(0, 2**63)),
        },
        "features": {
            "window": draw(st.integers(16, 4096)),
            "hop": draw(st.integers(256, 4096)),  # shorter hops would make too many frames
            "n_mels": draw(st.integers(2, 128)),
            "f_min": draw(st.floats(0, 1000)),
            "f_max": draw(st.floats(1001, rate / 2)),
        },
    }  # fmt: skip


SECTIONS = ("workdir", "corpus", "mixing", "features")


def loaded(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.yaml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
        return load_config(path)


@trials(60)
@given(documents())
def test_a_valid_config_survives_being_described(document):
    config = loaded(yaml.safe_dump(document, allow_unicode=True))
    described = config.describe(*SECTIONS)
    again = loaded(described)
    assert again.describe(*SECTIONS) == described
    assert (again.mixing, again.features) == (config.mixing, config.features)
    assert config.mixing.seed == document["mixing"]["seed"]
    assert str(config.workdir) == str(Path(document["workdir"]))


KEYS = [("mixing", key) for key in Mixing.model_fields] + [("", key) for key in Config.model_fields]


@trials(60)
@given(st.sampled_from(KEYS), st.integers(0, 20), st.sampled_from("xyz_"))
def test_a_misspelt_key_is_refused_with_the_intended_one(place, at, letter):
    section, key = place
    wrong = key[: at % len(key)] + letter + key[at % len(key) :]
    assume(wrong not in Mixing.model_fields and len(key) > 4)
    with pytest.raises(SedmtlError) as error:
        loaded(yaml.safe_dump({section: {wrong: 1}} if section else {wrong: 1}))
    assert f"'{wrong}' is not a key; did you mean '" in str(error.value)
    assert key in str(error.value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["random", "folder", "csv", "tau2019", "synthetic", "file", 8000, 10**40]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=4) | st.sampled_from([
        "workdir", "corpus", "mixing", "features", "events", "scenes", "clips", "kind", "root",
        "csv", "strong", *Mixing.model_fields]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
SECTIONED = st.fixed_dictionaries({}, optional=dict.fromkeys(SECTIONS, PLAIN))


@trials(150)
@given(SECTIONED | PLAIN)
def test_any_yaml_is_a_config_or_one_sentence(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    config, refusal = attempt(lambda: loaded(text))
    assert ("\n" not in refusal and len(refusal) < 1000) if refusal else isinstance(config, Config)


YAMLISH = st.lists(
    st.sampled_from(["a", "mixing", ": ", "\n", "- ", "  ", "&x ", "*x", "<<: ", "!!set ", "!!int ",
                     "!!bool ", "!!map ", "!!timestamp ", "!!omap ", "[", "]", "{", "}", ", ", "? ",
                     "| ", "> ", "%TAG ", "---\n", "...", "0x", "1", "2001-01-01", "'", '"', "\\",
                     "\t", "é", "~", "#", "!!python/name:os.system "]),
    max_size=14,
).map("".join)  # fmt: skip


@trials(240)
@given(YAMLISH | st.text(max_size=30))
def test_a_text_is_yaml_or_json_or_a_value_error(text):
    attempt(lambda: parse_yaml(text), ValueError)
    attempt(lambda: parse_json(text), ValueError)


@trials(50)
@given(PLAIN)
def test_plain_values_come_back_from_yaml_and_json(value):
    assume("nan" not in repr(value))
    assert parse_yaml(yaml.safe_dump(value)) == value
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_an_alias_may_be_used_as_long_as_it_stands_for_little(n):
    text = f"a: &a [1, 2]\nb: [{', '.join(['*a'] * n)}]"
    assert parse_yaml(text)["b"] == [[1, 2]] * n
    with pytest.raises(ValueError, match="aliases"):
        parse_yaml("0: &k0 [1]\n" + "".join(
            f"{k}: &k{k} [*k{k - 1}, *k{k - 1}]\n" for k in range(1, 30)))  # fmt: skip


# Tables and containers.

words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), min_size=1,
                max_size=10).map(str.strip).filter(bool)  # fmt: skip
marks = st.tuples(words.map(class_name), st.integers(0, 9000), st.integers(1, 9000))


@trials(60)
@given(
    st.dictionaries(
        words, st.lists(marks, min_size=1, max_size=3, unique=True), min_size=1, max_size=4
    )
)
def test_strong_labels_come_back_whatever_they_are_called(labels):
    events = {
        name: [Event(label, begin / 1000, (begin + n) / 1000) for label, begin, n in rows]
        for name, rows in labels.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.tsv")
        path.write_text(strong_label_text(events), encoding="utf-8", newline="")
        assert read_strong_labels(path) == events


def slow_checksum(data):
    """The checksum of RFC 3533, bit by bit."""
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value >> 31 else 0)
            value &= 0xFFFFFFFF
    return value


@trials(50)
@given(st.binary(max_size=200))
def test_the_checksum_of_ogg_is_that_of_its_definition(data):
    assert ogg_checksum(data) == slow_checksum(data)


HEADS = [b"OggS", b"RIFF....WAVE", b"RF64....WAVE", b"FORM....AIFF", b".snd", b"RIFX....WAVE",
         b"RIFF\0\0\0\0WAVEdata", b"FORM\0\0\0\0AIFFSSND",
         b"RIFF\0\0\0\0WAVE" + 50 * b"junk\0\0\0\0",
         b"riff" + 36 * b"\0", b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0"]  # fmt: skip


@trials(120)
@given(st.sampled_from(HEADS), st.binary(max_size=120))
@example(b"riff" + 36 * b"\0", 23 * b"\0" + b"\x80")  # a chunk of 2^63 bytes
def test_any_bytes_are_audio_or_one_sentence(head, tail):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.wav")
        path.write_bytes(head + tail)
        _, refusal = attempt(lambda: check_whole(path))
        assert refusal is None or "a.wav" in refusal
