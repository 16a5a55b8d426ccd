"""`sedmtl mix` through the command line: its stores describe their audio correctly."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import yaml
from conftest import Project, visible, write_noise, write_project, write_tone

import sedmtl
from sedmtl.data import mix_worker as worker
from sedmtl.data import mixing as mix_stage
from sedmtl.label_files import read_strong_labels
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store

RATE, N_SAMPLES, EVENT_S = 8_000, 16_000, 0.5
SNRS_DB = (-5, 0, 10, 20)
SNR_OPTIONS = [option for snr_db in SNRS_DB for option in ("--snr", snr_db)]


def configure(project, **mixing):
    path = project.folder / "data.yaml"
    data = yaml.safe_load(path.read_text())
    data["mixing"].update(mixing)
    path.write_text(yaml.safe_dump(data))
    return project


def mix(project, *arguments):
    result = project.run("mix", *arguments)
    assert result.exit_code == 0, result.output
    return result


def store_path(project, snr_db):
    return project.work / "mixtures" / f"snr_{snr_db}.h5"


def stores(project):
    return [store_path(project, snr_db) for snr_db in (0, 20)]


def open_store(project, snr_db=20, array="waveform"):
    return Store(store_path(project, snr_db), array)


def read_all(project, snr_db=20, array="waveform"):
    with open_store(project, snr_db, array) as store:
        return store.read(range(len(store)))


def clips_of(project, snr_db=20):
    with open_store(project, snr_db) as store:
        return store.clips


def rms(x):
    return np.sqrt(np.mean(np.square(np.asarray(x, np.float64))))


def db(ratio):
    return 20 * np.log10(ratio)


@pytest.fixture(scope="module", params=["segment", "file"])
def mixed(request, tmp_path_factory):
    """A project mixed at four SNRs with stems, by either SNR rule."""
    made = Project(write_project(tmp_path_factory.mktemp(request.param)))
    configure(made, snr_over=request.param)
    mix(made, *SNR_OPTIONS, "--stems", "--wav", 2)
    return made, request.param


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_the_snr_measured_on_the_stems_is_that_of_the_rule_and_of_the_store(mixed, snr_db):
    project, rule = mixed
    events = clips_of(project, snr_db).events
    stems = read_all(project, snr_db, "stems")
    spans = zip(events.mixture, events.onset_s, events.offset_s, strict=True)
    measured_db = []
    for row, onset_s, offset_s in spans:
        heard = stems[row, 0, round(onset_s * RATE) : round(offset_s * RATE)]
        measured_db.append(db(rms(heard) / rms(stems[row, 1])))
    asked_db = np.full(len(measured_db), float(snr_db))
    if rule == "file":
        for i, name in enumerate(events.source):
            whole, _ = soundfile.read(project.folder / "events" / name)
            asked_db[i] += db(rms(whole[: round(EVENT_S * RATE)]) / rms(whole))
        # For clips that decay for longer than an event, the two rules differ.
        assert (asked_db - snr_db).max() > 0.5
    assert measured_db == pytest.approx(asked_db, abs=0.05)
    assert events.snr_db == pytest.approx(np.array(measured_db), abs=0.05)


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_a_mixture_is_the_formula_applied_to_the_files(mixed, snr_db):
    project, rule = mixed
    clips = clips_of(project, snr_db)
    waveform = read_all(project, snr_db)
    assert waveform.dtype == np.int16
    assert waveform.shape == (24, N_SAMPLES)
    for row, scene_name in enumerate(clips.scene):
        scene, _ = soundfile.read(project.folder / "scenes" / scene_name)
        loud = np.zeros(N_SAMPLES)
        for i in np.flatnonzero(clips.events.mixture == row):
            whole, _ = soundfile.read(project.folder / "events" / clips.events.source[i])
            segment = whole[: round(EVENT_S * RATE)]
            level = rms(whole if rule == "file" else segment)
            onset = round(clips.events.onset_s[i] * RATE)
            loud[onset : onset + len(segment)] += 10 ** (snr_db / 20) * segment / level
        quiet = scene / rms(scene)
        expected = (loud + quiet) / (2 * max(np.abs(loud).max(), np.abs(quiet).max()))
        np.testing.assert_allclose(waveform[row] / 32_767, expected, rtol=0, atol=1 / 32_767)


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_stems_sum_to_the_mixture_exactly(mixed, snr_db):
    project, _ = mixed
    stems, waveform = (read_all(project, snr_db, array) for array in ("stems", "waveform"))
    assert np.array_equal(stems.astype(int).sum(axis=1), waveform)


@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_each_event_alone_from_its_onset_on_is_its_part_of_the_events(mixed, snr_db):
    project, _ = mixed
    events = clips_of(project, snr_db).events
    stems, alone = (read_all(project, snr_db, name) for name in ("stems", "event_stems"))
    assert alone.shape == (24, 3, round(EVENT_S * RATE))
    together = np.zeros(stems[:, 0].shape, int)
    for row in range(24):
        spans = np.stack([events.onset_s, events.offset_s], 1)[events.mixture == row]
        for stem, (onset, offset) in zip(
            alone[row], np.rint(spans * RATE).astype(int), strict=True
        ):
            together[row, onset:offset] += stem[: offset - onset]
            assert not stem[offset - onset :].any()
    assert np.abs(together - stems[:, 0]).max() <= 1  # each is rounded separately


def test_the_plan_is_the_same_at_every_snr(mixed):
    project, _ = mixed
    for one, other in pairwise(clips_of(project, snr_db) for snr_db in SNRS_DB):
        assert (one.name, one.scene) == (other.name, other.scene)
        assert one.events.source == other.events.source
        assert np.array_equal(one.target, other.target)
        assert np.array_equal(one.fold, other.fold)
        for column in ("mixture", "label", "onset_s", "offset_s"):
            values = [getattr(each.events, column) for each in (one, other)]
            assert np.array_equal(*values)
        assert not np.array_equal(one.events.snr_db, other.events.snr_db)


def test_plan_yaml_plan_tsv_and_the_store_agree(mixed):
    project, _ = mixed
    plan = yaml.safe_load((project.work / "mixtures" / "plan.yaml").read_text())
    labels = read_strong_labels(project.work / "mixtures" / "plan.tsv")
    with open_store(project) as store:
        clips, classes = store.clips, store.classes
    assert plan["classes"] == list(classes) == ["tone_2700", "tone_300", "tone_900"]
    assert [row["name"] for row in plan["mixtures"]] == clips.name == list(labels)
    assert [row["fold"] for row in plan["mixtures"]] == list(clips.fold)
    assert [row["scene"] for row in plan["mixtures"]] == clips.scene
    events = clips.events
    planned = [(i, event) for i, row in enumerate(plan["mixtures"]) for event in row["events"]]
    assert [i for i, _ in planned] == list(events.mixture)
    assert [event["clip"] for _, event in planned] == list(events.source)
    named = [event["label"] for _, event in planned]
    assert named == [classes[i] for i in events.label]
    assert named == [event.label for name in labels for event in labels[name]]
    for key, tolerance in (("onset_s", 1e-6), ("offset_s", 1e-6)):
        times_s = np.array([event[key] for _, event in planned])
        assert getattr(events, key) == pytest.approx(times_s, abs=tolerance)
        in_tsv = [getattr(event, key) for name in labels for event in labels[name]]
        assert in_tsv == pytest.approx(times_s, abs=5.1e-4)  # three decimals
    for i, target in enumerate(clips.target):
        assert set(np.flatnonzero(target)) == set(events.label[events.mixture == i])


def test_the_store_describes_itself(mixed):
    project, rule = mixed
    with open_store(project, -5) as store:
        assert store.attributes["snr_db"] == -5.0
        assert store.attributes["sample_rate"] == RATE
        config = yaml.safe_load(store.attributes["config"])
    assert config["mixing"]["snr_over"] == rule
    assert config["mixing"]["overlap"] is False
    assert config["corpus"]["events"] == {"kind": "folder", "root": "events"}


def test_wav_files_are_the_first_rows_of_the_store(mixed):
    project, _ = mixed
    folder = project.work / "mixtures" / "snr_10"
    names, waveform = clips_of(project, 10).name, read_all(project, 10)
    assert sorted(path.name for path in folder.iterdir()) == names[:2]
    for row in range(2):
        samples, rate = soundfile.read(folder / names[row], dtype="int16")
        assert rate == RATE
        assert np.array_equal(samples, waveform[row])


def test_the_paths_of_the_stores_are_the_output(project):
    result = mix(project)
    assert result.stdout.split() == [str(store_path(project, snr_db)) for snr_db in (0, 20)]
    assert visible(project.work / "mixtures") == {"plan.yaml", "plan.tsv", "snr_0.h5", "snr_20.h5"}


def test_a_store_made_alone_has_the_bytes_of_one_made_with_others(project):
    mix(project, *SNR_OPTIONS)
    together = {snr_db: store_path(project, snr_db).read_bytes() for snr_db in SNRS_DB}
    shutil.rmtree(project.work)
    for snr_db in (20, -5):
        mix(project, "--snr", snr_db)
        assert store_path(project, snr_db).read_bytes() == together[snr_db]


@pytest.mark.slow
@pytest.mark.parametrize("onsets", [[0.1, 0.7, 1.3], "random"])
def test_bytes_follow_from_the_seed_whatever_the_folder_and_the_workers(tmp_path, onsets):
    made = {}
    for folder, workers, seed in (("one", 1, 0), ("two", 3, 0), ("three", 1, 1)):
        project = Project(write_project(tmp_path / folder))
        configure(project, onsets=onsets, seed=seed)
        mix(project, "--workers", workers, "--stems")
        names = ("plan.yaml", "plan.tsv", "snr_0.h5", "snr_20.h5")
        made[folder] = [(project.work / "mixtures" / name).read_bytes() for name in names]
    assert made["one"] == made["two"]
    assert all(a != b for a, b in zip(made["one"], made["three"], strict=True))


def test_a_second_run_leaves_the_stores_untouched(project):
    mix(project)
    before = [store_path(project, snr_db).stat().st_mtime_ns for snr_db in (0, 20)]
    mix(project)
    assert [store_path(project, snr_db).stat().st_mtime_ns for snr_db in (0, 20)] == before


def test_another_snr_a_raised_version_and_other_paths_leave_finished_stores_alone(
    project, monkeypatch
):
    mix(project)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in stores(project)]
    configure(project, snrs_db=[0, 20, 30])
    config = project.folder / "data.yaml"
    config.write_text(config.read_text().replace("root: scenes", "root: ./scenes"))
    monkeypatch.setattr(sedmtl, "__version__", "99.0")
    result = mix(project)
    assert "rebuilding it" not in result.stderr
    assert store_path(project, 30).is_file()
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in stores(project)] == before


def test_audio_that_changes_after_it_was_read_is_reread_next_time(project, monkeypatch):
    def change(*_):
        for path in (project.folder / "events").rglob("*.wav"):
            write_tone(path, 555, 0.4)

    monkeypatch.setattr(mix_stage, "_warn_of_silence", change)
    configure(project, snr_over="segment")
    mix(project, "--snr", 20)
    monkeypatch.undo()
    before = store_path(project, 20).read_bytes()
    assert "rebuilding it" in mix(project, "--snr", 20).stderr
    assert store_path(project, 20).read_bytes() != before


@pytest.mark.parametrize("change", [{"seed": 1}, {"event_s": 0.3}, {"snr_over": "segment"}])
def test_other_settings_rebuild_the_store(project, change):
    mix(project, "--snr", 20)
    before = store_path(project, 20).read_bytes()
    configure(project, **change)
    mix(project, "--snr", 20)
    assert store_path(project, 20).read_bytes() != before


def test_an_interrupted_mix_resumes(project, monkeypatch):
    mix(project)
    whole = store_path(project, 20).read_bytes()
    shutil.rmtree(project.work)
    rendered = []

    def stop_at_the_tenth(*arguments):
        rendered.append(1)
        if len(rendered) > 10:
            raise KeyboardInterrupt
        return render(*arguments)

    render = worker.render
    monkeypatch.setattr(worker, "render", stop_at_the_tenth)
    result = project.run("mix", "--workers", 1)
    assert result.exit_code == 130, result.output
    assert not list((project.work / "mixtures").glob("snr_*.h5"))

    def count(*arguments):
        rendered.append(1)
        return render(*arguments)

    rendered.clear()
    monkeypatch.setattr(worker, "render", count)
    mix(project)
    # Ten were rendered in blocks of four: two blocks were complete.
    assert len(rendered) == 24 - 8
    assert store_path(project, 20).read_bytes() == whole


def test_a_store_that_is_behind_catches_up_with_one_that_is_finished(project):
    mix(project)
    both = [store_path(project, snr_db).read_bytes() for snr_db in (0, 20)]
    store_path(project, 0).unlink()
    mix(project)
    assert [store_path(project, snr_db).read_bytes() for snr_db in (0, 20)] == both


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (5_000, 1)])
def test_clips_of_another_rate_sound_when_the_plan_says(project, rate, channels):
    for path in sorted((project.folder / "events").rglob("*.wav")):
        n, kind = int(path.stem), int(path.parent.name.removeprefix("tone_"))
        write_tone(path, min(kind, 900), 0.3 + 0.1 * n, rate, channels)
    configure(project, snr_over="segment")
    mix(project, "--snr", 20, "--stems")
    events, stems = clips_of(project).events, read_all(project, array="stems")
    active = np.zeros(stems[:, 0].shape, bool)
    spans = zip(events.mixture, events.onset_s, events.offset_s, events.snr_db, strict=True)
    for row, onset_s, offset_s, snr_db in spans:
        # One sample of tolerance: resampling rounds the number of samples.
        active[row, round(onset_s * RATE) - 1 : round(offset_s * RATE) + 1] = True
        heard = stems[row, 0, round(onset_s * RATE) : round(offset_s * RATE)]
        assert db(rms(heard) / rms(stems[row, 1])) == pytest.approx(20, abs=0.05)
        assert snr_db == pytest.approx(20, abs=1e-4)
    assert not stems[:, 0][~active].any()


@pytest.mark.parametrize("seconds", [0.7, 5.0])
def test_a_short_scene_is_repeated_and_a_long_one_cut(project, seconds):
    for k, path in enumerate(sorted((project.folder / "scenes").rglob("*.wav"))):
        write_noise(path, k, seconds)
    mix(project, "--snr", -100, "--stems")
    clips, stems = clips_of(project, -100), read_all(project, -100, "stems")
    for row, name in enumerate(clips.scene):
        scene, _ = soundfile.read(project.folder / "scenes" / name)
        expected = np.tile(scene, 3)[:N_SAMPLES]
        expected = expected / np.abs(expected).max() * 16_383.5
        # At -100 dB only the scene is audible; one step for the rounding of both.
        np.testing.assert_allclose(stems[row, 1], expected, rtol=0, atol=1)


def write_silent_start(path, silent_s, sound_s=0.5):
    sound = np.random.default_rng(0).normal(scale=0.1, size=round(sound_s * RATE))
    soundfile.write(path, np.concatenate([np.zeros(round(silent_s * RATE)), sound]), RATE)


@pytest.mark.parametrize("rule", ["file", "segment"])
def test_a_clip_that_begins_with_silence_is_warned_of_and_stored_as_inaudible(project, rule):
    configure(project, snr_over=rule)
    write_silent_start(project.folder / "events" / "tone_300" / "3.wav", 0.6)
    result = mix(project, "--snr", 20, "--stems")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("warning:")]
    assert "1 of 24 event clips begin with silence" in line
    assert "tone_300/3.wav" in line
    events = clips_of(project).events
    silent = np.array([source == "tone_300/3.wav" for source in events.source])
    assert silent.any()
    assert (events.snr_db[silent] == -np.inf).all()
    assert np.isfinite(events.snr_db[~silent]).all()
    stems = read_all(project, array="stems")
    for row, onset_s in zip(events.mixture[silent], events.onset_s[silent], strict=True):
        onset = round(onset_s * RATE)
        assert not stems[row, 0, onset : onset + 4_000].any()
    assert stems[:, 1].any(axis=1).all()


def test_a_normal_mix_warns_of_nothing(project):
    assert "warning" not in mix(project, "--snr", 20).stderr


@pytest.mark.parametrize(
    ("spoiled", "expected"),
    [
        ("events/tone_300/3.wav", "silent: expected an event of class 'tone_300'"),
        ("scenes/noise/07.wav", "silent: expected a scene with sound"),
    ],
)
@pytest.mark.parametrize("level", [0.0, 1e-40])  # 1 / 1e-40 overflows float32
def test_a_silent_file_is_named(project, one_sentence, spoiled, expected, level):
    soundfile.write(project.folder / spoiled, np.full(RATE, level), RATE, subtype="DOUBLE")
    one_sentence(project.run("mix", "--snr", 20), spoiled, expected)
    assert not store_path(project, 20).exists()


def test_too_many_classes_are_refused(project, one_sentence, monkeypatch):
    monkeypatch.setattr("sedmtl.store.tables.MAX_CLASSES", 2)
    one_sentence(project.run("mix"), "expected at most 2 classes, found 3: check the labels")


@pytest.mark.parametrize("spoiled", ["events/tone_300/3.wav", "scenes/noise/07.wav"])
def test_a_broken_file_is_named_before_anything_is_written(project, one_sentence, spoiled):
    (project.folder / spoiled).write_bytes(b"no audio")
    one_sentence(project.run("mix"), spoiled, "cannot read")
    assert not project.work.exists()


@pytest.mark.parametrize(
    ("mixing", "parts"),
    [
        ({"mixtures_per_fold": 7}, ("need 28 scenes, found 24", "at most 6", "reuse_scenes")),
        ({"folds": 25, "mixtures_per_fold": 1}, ("need 25 scenes, found 24", "lower mixing.folds")),
        (
            {"folds": 25, "mixtures_per_fold": 1, "reuse_scenes": True},
            ("need 25 scenes, found 24", "add scenes"),
        ),
    ],
)
def test_more_mixtures_than_there_are_scenes_are_refused(project, one_sentence, mixing, parts):
    configure(project, **mixing)
    one_sentence(project.run("mix"), *parts)
    assert not project.work.exists()


def test_fewer_recordings_than_folds_are_refused(project, one_sentence):
    for path in sorted((project.folder / "events").rglob("*.wav")):
        if path.stem != "0":
            path.unlink()
    one_sentence(project.run("mix"), "fold 4 of 4 has no event clip", "3 recordings are too few")


@pytest.mark.parametrize("snr_db", ["nan", "inf", "101", "-1e9"])
def test_an_snr_that_is_out_of_range_is_refused(project, one_sentence, snr_db):
    one_sentence(project.run("mix", f"--snr={snr_db}"), "--snr", "-100 to 100", snr_db[:3])
    assert not project.work.exists()


@pytest.mark.parametrize("missing", ["events", "scenes"])
def test_a_missing_corpus_is_named(project, one_sentence, missing):
    path = project.folder / "data.yaml"
    path.write_text(re.sub(rf"\n  {missing}: .*", "", path.read_text()))
    one_sentence(project.run("mix"), f"names no corpus.{missing}")


def test_a_workdir_that_is_a_file_is_one_sentence(project, one_sentence):
    project.work.write_text("")
    one_sentence(project.run("mix"), "cannot write", "work")


def test_stems_are_kept_only_on_request(project):
    mix(project, "--snr", 20)
    for array in ("stems", "event_stems"):
        with pytest.raises(SedmtlError, match=f"has no '{array}'.*sedmtl mix --stems"):
            open_store(project, array=array)


def test_a_failing_mix_leaves_the_plan_of_the_existing_mixtures(project):
    project.run("mix", "--snr", 0, "--wav", 1)
    plan = (project.work / "mixtures" / "plan.tsv").read_text()
    write_tone(project.folder / "events" / "tone_300" / "silent.wav", 300, 0.5)
    soundfile.write(project.folder / "events" / "tone_300" / "silent.wav", np.zeros(4000), 8000)
    assert project.run("mix", "--snr", 0).exit_code == 1
    assert (project.work / "mixtures" / "plan.tsv").read_text() == plan


def test_wav_files_of_an_earlier_plan_do_not_stay(project):
    project.run("mix", "--snr", 0, "--wav", 2)
    wav = project.work / "mixtures" / "snr_0" / "mix_01.wav"
    before = wav.read_bytes()
    config = project.folder / "data.yaml"
    config.write_text(config.read_text().replace("mixing:", "mixing:\n  seed: 5"))
    project.run("mix", "--snr", 0)
    assert not wav.exists()
    project.run("mix", "--snr", 0, "--wav", 2)
    assert wav.read_bytes() != before


def test_other_files_beside_the_wav_files_of_an_earlier_plan_stay(project):
    project.run("mix", "--snr", 0, "--wav", 2)
    folder = project.work / "mixtures" / "snr_0"
    others = [folder / name for name in ("notes.txt", "mix_favourite.wav", "cut/mix_01.wav")]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    configure(project, seed=5)
    mix(project, "--snr", 0)
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(others)


def test_a_wav_file_that_the_user_has_edited_stays(project, one_sentence):
    project.run("mix", "--snr", 0, "--wav", 2)
    first, second = (project.work / "mixtures" / "snr_0" / f"mix_0{n}.wav" for n in (1, 2))
    first.write_bytes(b"edited")
    one_sentence(project.run("mix", "--snr", 0, "--wav", 2), "mix_01.wav", "move it away")
    configure(project, seed=5)
    result = project.run("mix", "--snr", 0)
    assert result.exit_code == 0
    assert "mix_01.wav was not written by sedmtl or has been changed since" in result.stderr
    assert "1 of 2 files" in result.stderr
    assert first.read_bytes() == b"edited"
    assert not second.exists()
