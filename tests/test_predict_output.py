"""The output of `sedmtl predict`: the summary, classes, tags, silence."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile
from conftest import write_tone

from sedmtl.events import Detection
from sedmtl.inference.prediction import Prediction
from sedmtl.inference.summary import MOST, summary


def found(name, *labels, tags=None):
    """A recording of a minute with an event of 1.5 s for each label."""
    events = [Detection(label, 2.0 * i, 2.0 * i + 1.5, 0.5) for i, label in enumerate(labels)]
    return Prediction(60.0, events, tags=tags, filename=name)


# The summary.


def test_the_summary_counts_by_class_and_by_recording():
    assert summary(
        [found("a.wav", "Owl", "Fox", "Owl"), found("b.wav", "Owl"), found("c.wav")]
    ) == [
        "4 events of 2 classes in 2 of 3 recordings, 0:03:00 of audio",
        "",
        "class  recordings  events  seconds  score",
        "Owl             2       3      4.5   0.50",
        "Fox             1       1      1.5   0.50",
        "",
        "recording  class  events  seconds  score",
        "a.wav      Owl         2      3.0   0.50",
        "           Fox         1      1.5   0.50",
        "b.wav      Owl         1      1.5   0.50",
    ]


def test_one_recording_gives_one_table_and_none_gives_a_line():
    assert summary([found("a.wav", "Owl")])[1:] == [
        "",
        "recording  class  events  seconds  score",
        "a.wav      Owl         1      1.5   0.50",
    ]
    assert summary([found("a.wav")]) == [
        "0 events of 0 classes in 0 of 1 recordings, 0:01:00 of audio"
    ]


def test_a_large_summary_is_a_screenful_of_80_columns_that_says_what_it_leaves_out():
    labels = [f"A rather long name of class number {k}" for k in range(100)]
    many = [found(f"folder/of/the/night/recording {k}.wav", *labels) for k in range(100)]
    lines = summary(many)
    assert max(map(len, lines)) <= 80
    assert len(lines) == 2 * MOST + 7
    assert "and 60 classes with fewer events" in lines
    assert lines[-1] == "and 9,960 more rows: events.tsv lists every event"
    assert "ording 0.wav" in "\n".join(lines)  # the end of the path


def test_the_summary_says_where_tags_and_events_disagree():
    tagged = found("a.wav", "Owl", "Fox", tags=[("Owl", 0.9), ("Rain", 0.8), ("Wind", 0.7)])
    assert (
        "Tags without an event in their recording: 2; classes with events but without a"
        in summary([tagged])
    )
    assert not any("tags" in line for line in summary([found("a.wav", "Owl", tags=[("Owl", 1.0)])]))


# Options.


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_tone(tmp_path_factory.mktemp("sound") / "a.wav", 900, 4.0)


def labels_in(out):
    with (out / "events.tsv").open(newline="") as file:
        return {row["event_label"] for row in csv.DictReader(file, delimiter="\t")}


def test_only_requested_classes_are_found(trained, sound, tmp_path):
    options = ("--out", tmp_path, "--threshold", 0, "--tags", "--format", "json")
    assert trained.run("predict", sound, *options).exit_code == 0
    assert labels_in(tmp_path) == {"tone_300", "tone_900", "tone_2700"}
    result = trained.run("predict", sound, *options, "--classes", "tone_900,tone_300", "--quiet")
    assert result.exit_code == 0, result.output
    assert "1 of 1 recordings are already done" in result.stderr  # classes are filtered afterwards
    assert result.stdout == ""
    assert labels_in(tmp_path) == {"tone_300", "tone_900"}
    content = json.loads(next(tmp_path.rglob("*.json")).read_text())
    assert "tone_2700" not in {each["label"] for each in content["events"] + content["tags"]}


def test_a_class_may_have_a_threshold_of_its_own(trained, sound, tmp_path):
    options = ("--out", tmp_path, "--threshold", 1, "--threshold", "tone_300=0")
    result = trained.run("predict", sound, *options)
    assert result.exit_code == 0, result.output
    assert labels_in(tmp_path) == {"tone_300"}


def test_classes_that_the_run_does_not_know_are_named_with_the_nearest(
    trained, sound, tmp_path, one_sentence
):
    for option in (("--classes", "tone_90"), ("--threshold", "tone_90=0.3")):
        result = trained.run("predict", sound, "--out", tmp_path, *option)
        one_sentence(result, "no class 'tone_90'", "the nearest are tone_900")
    for value in ("tone_900=", "1.5", "nan", "tone_900=-1"):
        result = trained.run("predict", sound, "--out", tmp_path, "--threshold", value)
        assert result.exit_code == 2
        assert "should be from 0 to 1, or CLASS=0.3" in " ".join(result.stderr.split())


# Silence.


@pytest.mark.parametrize("rate", [8000, 11_025])
def test_silence_and_dither_hold_no_events_whatever_the_threshold(trained, tmp_path, rate):
    rng = np.random.default_rng(0)
    dither = np.round(rng.uniform(-0.5, 0.5, 5 * rate) + rng.uniform(-0.5, 0.5, 5 * rate))
    assert set(dither) == {-1, 0, 1}
    soundfile.write(tmp_path / "zeros.wav", np.zeros(5 * rate, np.int16), rate)
    soundfile.write(tmp_path / "dither.wav", dither.astype(np.int16), rate)
    # 2 s, one window of the network, are far above dither; the rest is silent.
    tone = np.concatenate(
        [np.zeros(6 * rate), 3e-4 * np.sin(np.arange(2 * rate)), np.zeros(6 * rate)]
    )
    soundfile.write(tmp_path / "quiet.wav", tone, rate, subtype="FLOAT")
    out = tmp_path / "out"
    result = trained.run("predict", tmp_path, "--out", out, "--threshold", 0, "--median", 0)
    assert result.exit_code == 0, result.output
    with (out / "events.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["filename"] for row in rows} == {"quiet.wav"}
    assert all(float(row["onset"]) > 3.5 and float(row["offset"]) < 10.5 for row in rows)
