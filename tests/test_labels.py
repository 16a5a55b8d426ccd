"""Events in other tools' formats, read back by independent readers."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from sedmtl.events import Detection, Event
from sedmtl.inference.exporters import (
    FORMATS,
    audacity_text,
    csv_text,
    json_text,
    raven_text,
    tag_text,
    tsv_text,
)
from sedmtl.inference.prediction import Prediction
from sedmtl.label_files import read_strong_labels

DOG = Detection("Dog bark", 0.016, 2.5, 0.91234567)
CAT = Detection("Cat", 1.0 / 3.0, 2.0 / 3.0, 1.0)
RECORDING = Prediction(10.0, [DOG, CAT], filename="a.wav", band_hz=(50.0, 16_000.0))
SILENT = replace(RECORDING, events=[], filename="silent.wav")

# A name with everything that could break a format.
AWKWARD = 'Tür, "zu"\t– 犬\r\n#1'
ON_ONE_LINE = 'Tür, "zu" – 犬 #1'
STRANGE = Prediction(1.0, [Detection(AWKWARD, 0.0, 1.0, 0.5)], filename=f"{AWKWARD}.wav")


def rows(text, delimiter):
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def lines(text):
    """The lines as line-based readers see them, without quoting."""
    return [line.split("\t") for line in text.removesuffix("\n").split("\n")]


def read_back(text, tmp_path):
    path = tmp_path / "events.tsv"
    path.write_bytes(text.encode())
    return read_strong_labels(path)


def as_events(recording):
    return [Event(e.label, round(e.onset_s, 3), round(e.offset_s, 3)) for e in recording.events]


# TSV and CSV.


def test_the_tsv_is_the_dcase_one_with_a_score():
    text = tsv_text(RECORDING)
    assert text.splitlines()[0] == "filename\tonset\toffset\tevent_label\tscore"
    assert text.splitlines()[1] == "a.wav\t0.016\t2.500\tDog bark\t0.9123"


def test_the_tsv_of_many_recordings_is_read_back_as_strong_labels(tmp_path):
    second = replace(RECORDING, filename="b.wav", events=[CAT])
    labels = read_back(tsv_text(RECORDING, SILENT, second), tmp_path)
    assert labels == {"a.wav": as_events(RECORDING), "b.wav": as_events(second)}


def test_in_the_tsv_tabs_and_line_breaks_are_spaces_and_all_else_is_kept(tmp_path):
    labels = read_back(tsv_text(STRANGE, RECORDING), tmp_path)
    assert labels[f"{ON_ONE_LINE}.wav"] == [Event(ON_ONE_LINE, 0.0, 1.0)]
    assert labels["a.wav"] == as_events(RECORDING)


def test_a_label_that_begins_with_a_quote_swallows_no_rows(tmp_path):
    quoted = replace(RECORDING, events=[Detection('"dog', 0.0, 1.0, 0.5), CAT])
    labels = read_back(tsv_text(quoted), tmp_path)
    assert [event.label for event in labels["a.wav"]] == ['"dog', "Cat"]


def test_the_csv_keeps_any_name():
    found = rows(csv_text(STRANGE, RECORDING), ",")
    assert (found[0]["filename"], found[0]["event_label"]) == (f"{AWKWARD}.wav", AWKWARD)
    assert found[1] == {
        "filename": "a.wav",
        "onset": "0.016",
        "offset": "2.500",
        "event_label": "Dog bark",
        "score": "0.9123",
    }


def test_the_tags_are_a_table_of_clip_scores():
    tagged = replace(SILENT, tags=[("Dog bark", 0.75), (AWKWARD, 0.125)])
    assert lines(tag_text(tagged, SILENT))[:2] == [
        ["filename", "event_label", "score", "events"],
        ["silent.wav", "Dog bark", "0.7500", "0"],
    ]
    barking = replace(RECORDING, tags=[("Dog bark", 0.75)])
    assert lines(tag_text(barking))[1] == ["a.wav", "Dog bark", "0.7500", "1"]
    assert rows(tag_text(tagged), "\t")[1]["event_label"] == ON_ONE_LINE


# JSON.


def test_the_json_is_complete():
    tagged = replace(RECORDING, tags=[("Dog bark", 0.75)])
    content = json.loads(json_text(tagged))
    assert content["schema"] == 1
    assert (content["filename"], content["duration_s"]) == ("a.wav", 10.0)
    assert content["tags"] == [{"label": "Dog bark", "score": 0.75}]
    for event, written in zip(RECORDING.events, content["events"], strict=True):
        assert written == pytest.approx(event._asdict(), abs=1e-6)


def test_the_json_tells_tags_not_asked_for_from_none_found():
    assert "tags" not in json.loads(json_text(SILENT))
    assert json.loads(json_text(replace(SILENT, tags=[])))["tags"] == []


def test_the_json_keeps_any_name():
    content = json.loads(json_text(STRANGE))
    assert (content["filename"], content["events"][0]["label"]) == (f"{AWKWARD}.wav", AWKWARD)


# Audacity and Raven.


def test_an_audacity_line_is_onset_offset_label():
    found = lines(audacity_text(RECORDING))
    assert [label for *_, label in found] == ["Dog bark", "Cat"]
    for (onset, offset, _), event in zip(found, RECORDING.events, strict=True):
        assert (float(onset), float(offset)) == pytest.approx(event[1:3], abs=1e-6)
        assert [len(time.split(".")[1]) for time in (onset, offset)] == [6, 6]


def test_a_raven_table_has_a_box_of_the_networks_height_for_each_event():
    header, first, second = lines(raven_text(RECORDING))
    assert header[:7] == [
        "Selection",
        "View",
        "Channel",
        "Begin Time (s)",
        "End Time (s)",
        "Low Freq (Hz)",
        "High Freq (Hz)",
    ]
    assert dict(zip(header[7:], first[7:], strict=True)) == {
        "Annotation": "Dog bark",
        "Score": "0.9123",
    }
    assert first[:7] == ["1", "Spectrogram 1", "1", "0.016000", "2.500000", "50.0", "16000.0"]
    assert second[0] == "2"


@pytest.mark.parametrize(("text", "n_columns"), [(audacity_text, 3), (raven_text, 9)])
def test_formats_that_cannot_quote_keep_one_line_an_event(text, n_columns):
    found = lines(text(STRANGE))[-1]
    assert len(found) == n_columns
    assert ON_ONE_LINE in found


# All formats.


def test_a_recording_without_events_is_a_header_or_nothing():
    assert audacity_text(SILENT) == ""
    for text in (tsv_text, csv_text, raven_text):
        assert len(text(SILENT).splitlines()) == 1
    assert json.loads(json_text(SILENT))["events"] == []


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_text_that_a_file_can_hold(name):
    not_unicode = b"caf\xe9.wav".decode(errors="surrogateescape")  # as os.listdir returns it
    strange = replace(
        RECORDING, filename=not_unicode, events=[Detection(not_unicode, 0.0, 1.0, 0.5)]
    )
    assert b"caf?.wav" in FORMATS[name].text(strange).encode()


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
@pytest.mark.parametrize("name", ["tsv", "audacity", "raven"])
def test_no_character_remains_that_any_reader_takes_for_a_line_break(name, separator):
    event = Detection(f"a{separator}b", 0.0, 1.0, 0.5)
    text = FORMATS[name].text(replace(RECORDING, events=[event]))
    assert "a b" in text
    assert text.splitlines() == text.removesuffix("\n").split("\n")


def test_no_two_formats_of_a_recording_have_the_same_file_name():
    suffixes = [each.suffix for each in FORMATS.values()]
    assert len(set(suffixes)) == len(suffixes)
