"""`sedmtl predict` through the command line."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from conftest import visible, write_tone
from mutations import in_json

import sedmtl
from sedmtl.data import audio
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.predict_options import PredictOptions
from sedmtl.inference.trained_network import TrainedNetwork
from sedmtl.label_files import read_strong_labels

RUN = "2apae_snr20_fold1_alpha0.001_seed0"
LOW = ("--threshold", 0.3, "--median", 0.1, "--gap", 0.2)


def write_melody(path, seconds, rate=8000, channels=1, seed=0, subtype=None):
    """Write the tones that the network knows, one after the other, with pauses."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    hz = np.array([300, 900, 2700])[(t / 1.5).astype(int) % 3]
    wave = 0.4 * np.sin(2 * np.pi * hz * t) * (t % 1.5 < 0.6) + rng.normal(scale=0.01, size=len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.tile(wave[:, None], channels), rate, subtype=subtype)
    return path


@pytest.fixture
def sounds(tmp_path):
    """Recordings of several lengths and rates, in several folders."""
    folder = tmp_path / "in"
    write_melody(folder / "long.wav", 21.3)
    write_melody(folder / "day 1" / "flöte.flac", 5.0, rate=44_100, channels=2, seed=1)
    write_melody(folder / "day 1" / "short.wav", 0.7, seed=2)
    write_melody(folder / "eight bits.wav", 2.0, seed=3, subtype="PCM_U8")
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def read_tsv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def rows_of(name, rows):
    return [row for row in rows if row["filename"] == name]


def scores_of(name, rows):
    return {row["event_label"]: float(row["score"]) for row in rows_of(name, rows)}


def test_events_are_printed_and_written_as_one_table(trained, sounds, out):
    result = trained.run("predict", sounds, "--out", out, "--stdout", "events", *LOW)
    assert result.exit_code == 0, result.output
    assert result.stdout == (out / "events.tsv").read_text(encoding="utf-8")
    rows = read_tsv(out / "events.tsv")
    assert list(rows[0]) == ["filename", "onset", "offset", "event_label", "score"]
    assert {row["event_label"] for row in rows} <= {"tone_300", "tone_900", "tone_2700"}
    names = list(dict.fromkeys(row["filename"] for row in rows))
    assert names == sorted(names)
    durations_s = {path.relative_to(sounds).as_posix(): audio.probe(path).duration_s
                   for path in audio.files_below(sounds)}  # fmt: skip
    assert "long.wav" in names
    assert set(names) <= set(durations_s)
    for name, events in read_strong_labels(out / "events.tsv").items():
        assert max(event.offset_s for event in events) <= durations_s[name] + 5e-4


def test_python_and_the_command_line_find_the_same(trained, sounds, out):
    trained.run("predict", sounds, "--out", out, "--tags", *LOW)
    detector = sedmtl.load(trained.work / "runs" / RUN)
    settings = replace(
        detector.card.streaming or detector.card.postprocessing,
        threshold=(0.3,) * 3,
        median_s=0.1,
        gap_s=0.2,
        step_s=0.0,
    )
    detector.card = replace(detector.card, postprocessing=settings)
    rows, tags = read_tsv(out / "events.tsv"), read_tsv(out / "tags.tsv")
    for path in audio.files_below(sounds):
        prediction = detector.predict(path)
        name = path.relative_to(sounds).as_posix()
        found = [
            (row["event_label"], float(row["onset"]), float(row["offset"]))
            for row in rows_of(name, rows)
        ]
        expected = [(e.label, e.onset_s, e.offset_s) for e in prediction.events]
        assert [label for label, *_ in found] == [label for label, *_ in expected]
        # The table is in milliseconds.
        np.testing.assert_allclose(
            [times for _, *times in found], [times for _, *times in expected], atol=6e-4
        )
        assert scores_of(name, tags) == pytest.approx(dict(prediction.tags), abs=1e-4)


def test_each_recording_gets_its_files_in_the_folders_of_the_input(trained, sounds, out):
    formats = ("csv", "json", "audacity", "raven")
    wanted = [word for name in formats for word in ("--format", name)]
    result = trained.run("predict", sounds, "--out", out, "--tags", *wanted, *LOW)
    assert result.exit_code == 0, result.output
    found = visible(out)
    suffixes = (".csv", ".json", ".txt", ".selections.txt")
    names = [path.relative_to(sounds).as_posix() for path in audio.files_below(sounds)]
    assert found == {name + suffix for name in names for suffix in suffixes} | {
        "events.tsv", "tags.tsv", "journal.jsonl",
    }  # fmt: skip
    rows = rows_of("long.wav", read_tsv(out / "events.tsv"))
    content = json.loads((out / "long.wav.json").read_text(encoding="utf-8"))
    assert content["duration_s"] == pytest.approx(21.3)
    assert [event["label"] for event in content["events"]] == [r["event_label"] for r in rows]
    assert "tags" in content
    labels = (out / "long.wav.txt").read_text().splitlines()
    assert [float(line.split("\t")[0]) for line in labels] == pytest.approx(
        [float(row["onset"]) for row in rows], abs=6e-4
    )
    boxes = (out / "long.wav.selections.txt").read_text().splitlines()
    assert len(boxes) == 1 + len(rows)
    assert boxes[1].split("\t")[5:7] == ["50.0", "4000.0"]


def test_by_default_only_tables_are_written_below_the_work_folder(project, trained, sounds):
    (project.work / "runs").mkdir(parents=True)
    (project.work / "runs" / RUN).symlink_to(trained.work / "runs" / RUN)
    result = project.run("predict", sounds / "long.wav")
    assert result.exit_code == 0, result.output
    assert visible(project.work / "predictions") == {"events.tsv", "journal.jsonl"}


@pytest.mark.parametrize(
    ("rate", "channels", "gain"), [(16_000, 1, 1), (8000, 2, 1), (8000, 1, 0.1)]
)
def test_rate_channels_and_loudness_do_not_matter(trained, tmp_path, out, rate, channels, gain):
    path = write_melody(tmp_path / "a.wav", 4.0, subtype="FLOAT")
    wave, _ = soundfile.read(path)
    # Nothing above 4 kHz, so everything is in the network's band.
    other = soxr.resample(wave, 8000, rate) * gain
    soundfile.write(tmp_path / "b.wav", np.tile(other[:, None], channels), rate, subtype="FLOAT")
    # Such a low threshold gives one event per class, with its highest score in the recording.
    result = trained.run("predict", path, tmp_path / "b.wav", "--out", out, "--threshold", 0)
    assert result.exit_code == 0, result.output
    rows = read_tsv(out / "events.tsv")
    one, other = (scores_of(str(tmp_path / name), rows) for name in ("a.wav", "b.wav"))
    assert len(one) == 3
    assert one == pytest.approx(other, abs=0.02)


def test_thresholds_and_lengths_are_obeyed(trained, sounds, out):
    def events(*options):
        result = trained.run("predict", sounds / "long.wav", "--out", out, *options)
        assert result.exit_code == 0, result.output
        return [
            (float(row["onset"]), float(row["offset"]), float(row["score"]), row["event_label"])
            for row in read_tsv(out / "events.tsv")
        ]

    everything = events("--threshold", 0)
    assert len(everything) == 3
    assert {onset for onset, *_ in everything} == {0.008}
    assert events("--threshold", 1) == []
    middle = sorted(score for *_, score, _ in everything)[1]
    assert all(score > middle - 0.05 for *_, score, _ in events("--threshold", middle - 0.05))
    short = events("--threshold", 0.5, "--median", 0, "--gap", 0, "--min-duration", 0)
    long = events("--threshold", 0.5, "--median", 0, "--gap", 0, "--min-duration", 0.5)
    assert all(offset - onset >= 0.499 for onset, offset, *_ in long)
    assert [event for event in short if event[1] - event[0] >= 0.5] == long


def test_a_median_filter_replaces_boxes():
    tuned = PostProcessing((0.5,), step_s=0.8, gated=True)
    assert PredictOptions().adjust(tuned, ["a"]) == tuned
    filtered = PredictOptions(median_s=0.2).adjust(tuned, ["a"])
    assert filtered == PostProcessing((0.5,), median_s=0.2, gated=True)


def test_a_filter_in_place_of_boxes_begins_with_the_thresholds_tuned_for_filters():
    card = SimpleNamespace(
        postprocessing=PostProcessing((0.7,), step_s=0.2),
        streaming=PostProcessing((0.4,), median_s=0.6),
        classes=("a",),
    )
    assert PredictOptions().settings_of(card) == card.postprocessing
    assert PredictOptions(median_s=0.2).settings_of(card) == PostProcessing((0.4,), median_s=0.2)


def test_a_threshold_of_a_class_overrides_that_of_all():
    tuned = PostProcessing((0.5, 0.6, 0.7))
    for given, expected in [
        ([("b", 0.1)], (0.5, 0.1, 0.7)),
        ([("b=c", 0.1), ("", 0.2)], (0.2, 0.2, 0.1)),
        ([("a,b", 0.1), ("a", 0.3)], (0.3, 0.1, 0.7)),
    ]:
        assert (
            PredictOptions(thresholds=given).adjust(tuned, ["a", "b", "b=c"]).threshold == expected
        )


@pytest.fixture
def scored(monkeypatch):
    """The number of windows in each call that scores some."""
    counts = []
    true = TrainedNetwork.score_windows

    def count(self, waveforms):
        counts.append(len(waveforms))
        return true(self, waveforms)

    monkeypatch.setattr(TrainedNetwork, "score_windows", count)
    return counts


def test_rerunning_the_same_command_redoes_nothing(trained, sounds, out, scored):
    first = trained.run("predict", sounds, "--out", out, *LOW)
    n_scored = sum(scored)
    again = trained.run("predict", sounds, "--out", out, *LOW)
    assert sum(scored) == n_scored > 0
    assert again.stdout == first.stdout
    assert "4 of 4 recordings are already done" in again.stderr
    # Additional formats need no network either.
    for tags in ([], ["--tags"]):
        trained.run("predict", sounds, "--out", out, "--format", "json", *tags, *LOW)
        content = json.loads((out / "day 1" / "short.wav.json").read_text(encoding="utf-8"))
        assert ("tags" in content) == bool(tags)
    assert sum(scored) == n_scored


def test_an_interrupted_batch_resumes(trained, sounds, out, monkeypatch):
    expected = trained.run("predict", sounds, "--out", out.with_name("whole"), *LOW).stdout
    true, n_calls = TrainedNetwork.score_windows, 0

    def interrupted(self, waveforms):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 6:
            raise KeyboardInterrupt
        return true(self, waveforms)

    monkeypatch.setattr(TrainedNetwork, "score_windows", interrupted)
    options = ("--out", out, "--batch-size", 1, *LOW)
    stopped = trained.run("predict", sounds, *options)
    assert stopped.exit_code == 130
    assert "rerun the same command to resume it" in stopped.stderr
    assert not (out / "events.tsv").exists()
    n_done = len((out / "journal.jsonl").read_text().splitlines()) - 1
    assert n_done == 1  # the five windows of the flute
    result = trained.run("predict", sounds, *options)
    assert "1 of 4 recordings are already done" in result.stderr
    assert result.stdout == expected


def test_changed_and_new_recordings_are_done_others_are_not(trained, sounds, out, scored):
    trained.run("predict", sounds, "--out", out, *LOW)
    write_melody(sounds / "eight bits.wav", 1.0, seed=9)
    write_melody(sounds / "new.wav", 1.0)
    scored.clear()
    result = trained.run("predict", sounds, "--out", out, *LOW)
    assert sum(scored) == 2
    assert "3 of 5 recordings are already done" in result.stderr


def test_other_settings_start_over_and_say_so(trained, sounds, out, scored):
    trained.run("predict", sounds, "--out", out, *LOW)
    n_scored = sum(scored)
    result = trained.run("predict", sounds, "--out", out)
    assert "is for another post-processing: all recordings are processed again" in result.stderr
    assert sum(scored) == 2 * n_scored


def test_other_weights_start_over_and_say_so(project, trained, sounds, out, scored):
    copied = project.work / "runs" / RUN
    copied.mkdir(parents=True)
    for path in (trained.work / "runs" / RUN).iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    project.run("predict", sounds, "--out", out)
    n_scored = sum(scored)
    assert "processed again" not in trained.run("predict", sounds, "--out", out).stderr
    assert sum(scored) == n_scored
    card = copied / "model.json"
    change = in_json(lambda data: data["training"].update(best_epoch=99))
    card.write_bytes(change(card.read_bytes()))
    result = project.run("predict", sounds, "--out", out)
    assert "is for another network: all recordings are processed again" in result.stderr
    assert sum(scored) == 2 * n_scored


def test_broken_recordings_are_named_with_their_reason_and_the_others_are_done(
    trained, sounds, out, one_sentence
):
    (sounds / "text.wav").write_text("no audio")
    (sounds / "empty.wav").touch()
    soundfile.write(sounds / "nothing.wav", np.zeros(0), 8000)
    nan = np.append(np.zeros(20_000), np.nan)
    soundfile.write(sounds / "nan.wav", nan, 8000, subtype="FLOAT")
    loud = np.tile([3.3e38, -3.3e38], 9_000)
    soundfile.write(sounds / "loud.wav", loud, 44_100, subtype="FLOAT")
    content = write_melody(sounds / "cut.flac", 30.0).read_bytes()
    (sounds / "cut.flac").write_bytes(content[: len(content) // 2])
    result = trained.run("predict", sounds, sounds / "none.wav", "--out", out, *LOW)
    one_sentence(result, "7 of 11 recordings cannot be used", "the others are done")
    for name, reason in (
        ("text.wav", "as audio"),
        ("empty.wav", "as audio"),
        ("nothing.wav", "holds no audio"),
        ("nan.wav", "NaN or infinity at 2.500 s"),
        ("loud.wav", "a sample of 3.3e+38 at 0.000 s"),
        ("cut.flac", "damaged or cut short"),
        ("none.wav", "no audio file"),
    ):
        (line,) = [line for line in result.stderr.splitlines() if name in line]
        assert reason in line
    assert "long.wav" in result.stdout
    assert "long.wav" in (out / "events.tsv").read_text()
    again = trained.run("predict", sounds, sounds / "none.wav", "--out", out, *LOW)
    one_sentence(again, "7 of 11 recordings cannot be used")
    assert "4 of 11 recordings are already done" in again.stderr


def test_a_recording_that_became_unreadable_keeps_no_earlier_file(
    trained, sounds, out, one_sentence
):
    options = ("--out", out, "--format", "csv", "--format", "raven", *LOW)
    assert trained.run("predict", sounds, *options).exit_code == 0
    before = visible(out)
    (sounds / "long.wav").write_text("no audio")
    one_sentence(trained.run("predict", sounds, *options), "1 of 4 recordings cannot be used")
    assert before - visible(out) == {"long.wav.csv", "long.wav.selections.txt"}
    assert "long.wav" not in (out / "events.tsv").read_text()


def test_an_input_without_audio_is_named_before_a_missing_run(project, tmp_path, one_sentence):
    (tmp_path / "empty").mkdir()
    for command in ("predict", "visualize", "separate", "review"):
        one_sentence(project.run(command, tmp_path / "empty"), "no audio file in the folder")


def test_the_error_of_the_only_input_is_the_sentence(trained, tmp_path, out, one_sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.wav").write_text("no audio")
    for name, sentence in (
        ("none.wav", "no audio file"),
        ("empty", "no audio file in the folder"),
        ("text.wav", "cannot read"),
    ):
        result = trained.run("predict", tmp_path / name, "--out", out)
        one_sentence(result, sentence, name)
        n_before = name == "text.wav"  # the run
        assert len(result.stderr.splitlines()) == 1 + n_before


def test_a_recording_without_events_has_an_empty_table(trained, tmp_path, out):
    sound = write_tone(tmp_path / "a.wav", 300, 0.01)
    result = trained.run("predict", sound, "--out", out, "--format", "csv", "--threshold", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "0 events of 0 classes in 0 of 1 recordings, 0:00:00 of audio"
    ]
    assert (out / "events.tsv").read_text() == "filename\tonset\toffset\tevent_label\tscore\n"
    (path,) = out.rglob("a.wav.csv")
    assert path.read_text().splitlines() == ["filename,onset,offset,event_label,score"]


def test_bad_requests_are_one_sentence(trained, project, sounds, tmp_path, one_sentence):
    (tmp_path / "file").touch()
    one_sentence(
        trained.run("predict", sounds, "--out", tmp_path / "file"), "cannot write into", "file"
    )
    one_sentence(trained.run("predict", sounds, "--run", "x"), "no run 'x'")
    one_sentence(project.run("predict", sounds), "no finished run", "sedmtl train --fold 1")
    one_sentence(trained.run("predict", sounds, "--out", tmp_path / "out", "--gap", "inf"), "gap_s")
    result = trained.run("predict", sounds, "--median", "inf")
    assert result.exit_code == 2
    assert "60" in result.stderr
    result = trained.run("predict", sounds, "--format", "xml")
    assert result.exit_code == 2
    assert "tsv, csv, json" in result.stderr


def test_with_hysteresis_events_continue_while_scores_fall_a_little(trained, tmp_path, out):
    sound = write_melody(tmp_path / "a.wav", 12)
    found = {}
    for share in (1, 0.5):
        trained.run("predict", sound, "--out", out, "--threshold", 0.3, "--median", 0.2,
                    "--hysteresis", share)  # fmt: skip
        found[share] = read_tsv(out / "events.tsv")
    assert found[1]
    seconds = {
        share: sum(float(row["offset"]) - float(row["onset"]) for row in rows)
        for share, rows in found.items()
    }
    assert seconds[0.5] > seconds[1]
    assert len(found[0.5]) <= len(found[1])


def test_a_name_that_is_too_long_for_a_file_of_its_own_leaves_the_others_unharmed(
    trained, tmp_path, one_sentence
):
    for name in ("a", "n" * 251, "z"):
        write_melody(tmp_path / "in" / f"{name}.wav", 2.0)
    out = tmp_path / "out"
    result = trained.run("predict", tmp_path / "in", "--out", out, "--format", "audacity", *LOW)
    one_sentence(result, "File name too long", "all else is written")
    assert {"a.wav.txt", "z.wav.txt", "events.tsv"} <= visible(out)


IN_PLACE = ("--format", "audacity", "--tags", *LOW)
OF_THE_USER = ("long.wav.txt", "day 1/short.wav.txt", "events.tsv", "tags.tsv", "journal.jsonl")


@pytest.mark.parametrize("name", OF_THE_USER)
def test_the_users_files_beside_the_recordings_stay(trained, sounds, name, one_sentence, scored):
    (sounds / name).write_text("0\t1\tmy label\n")
    before = visible(sounds)
    one_sentence(trained.run("predict", sounds, "--out", sounds, *IN_PLACE), name, "move it away")
    assert (sounds / name).read_text() == "0\t1\tmy label\n"
    assert visible(sounds) == before
    assert not scored  # reported before anything is computed


def test_a_label_file_that_the_user_has_edited_is_overwritten_by_force_only(
    trained, sounds, one_sentence
):
    command = ("predict", sounds, "--out", sounds, *IN_PLACE)
    for _ in range(2):
        assert trained.run(*command).exit_code == 0
    labels = sounds / "long.wav.txt"
    ours = labels.read_text()
    labels.write_text(ours + "3\t4\tadded by hand\n")
    one_sentence(trained.run(*command), "long.wav.txt", "changed since", "--force")
    assert "added by hand" in labels.read_text()
    assert trained.run(*command, "--force").exit_code == 0
    assert labels.read_text() == ours


def test_the_users_file_of_a_recording_that_became_unreadable_stays(trained, sounds, out):
    command = ("predict", sounds, "--out", out, "--format", "csv", "--force", *LOW)
    trained.run(*command)
    (out / "long.wav.csv").write_text("mine")
    (sounds / "long.wav").write_text("no audio")
    trained.run(*command)
    assert (out / "long.wav.csv").read_text() == "mine"


def test_other_settings_leave_the_journal_until_audio_was_read(trained, sounds, out, scored):
    trained.run("predict", sounds, "--out", out, *LOW)
    n_scored, before = sum(scored), (out / "journal.jsonl").read_bytes()
    # Also a name with a typing error.
    assert trained.run("predict", sounds / "none.wav", "--out", out).exit_code == 1
    assert (out / "journal.jsonl").read_bytes() == before
    again = trained.run("predict", sounds, "--out", out, *LOW)
    assert "4 of 4 recordings are already done" in again.stderr
    assert sum(scored) == n_scored


def test_earlier_settings_find_their_results(trained, sounds, out, scored):
    first = trained.run("predict", sounds, "--out", out, *LOW)
    trained.run("predict", sounds, "--out", out)
    n_scored = sum(scored)
    again = trained.run("predict", sounds, "--out", out, *LOW)
    assert again.stdout == first.stdout
    assert sum(scored) == n_scored


@pytest.mark.parametrize("name", [b"\xff.wav", b"\x1b[31m.wav", b"[male]:bomb:.wav"])
def test_a_recording_may_have_any_name(trained, tmp_path, out, name):
    path = tmp_path / os.fsdecode(name)
    write_melody(tmp_path / "a.wav", 2.0).rename(path)
    options = ("--out", out, "--format", "json", "--tags", *LOW)
    assert "\x1b" not in trained.run("predict", path, *options).output
    result = trained.run("predict", path, *options, "--stdout", "events")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    shown = path.name.replace("\udcff", "?").replace("\x1b", " ")  # in a table without quoting
    assert f"{shown}\t" in result.stdout
    assert trained.run("predict", path, "--out", out, *LOW).stderr.count("1 of 1 recordings are")


def test_a_recording_that_changes_while_it_is_read_is_named(
    trained, tmp_path, monkeypatch, one_sentence
):
    """The events may belong to neither version."""
    path = write_tone(tmp_path / "grows.wav", 900, 2.0)

    def grow(_):  # after its size was checked, before it is read
        write_tone(path, 300, 3.0)
        return 0

    monkeypatch.setattr("sedmtl.inference.predict.seconds_of", grow)
    result = trained.run("predict", path, "--out", tmp_path / "out")
    one_sentence(result, "grows.wav was changed while it was read")
    monkeypatch.undo()
    assert trained.run("predict", path, "--out", tmp_path / "out").exit_code == 0
