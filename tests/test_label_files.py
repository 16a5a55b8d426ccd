"""Label files of other tools: their events, their recordings, and refusals."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sedmtl.events import Detection, Event
from sedmtl.inference.exporters import FORMATS
from sedmtl.inference.prediction import Prediction
from sedmtl.label_files import (
    by_recording,
    labels_of_file,
    read_detections,
    read_strong_labels,
)
from sedmtl.runtime.errors import SedmtlError

HEADER = "filename\tonset\toffset\tevent_label\n"
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


@pytest.fixture
def write(tmp_path):
    """A function that writes a label file below the test's folder."""

    def make(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


# Files as the tools write them.

AUDACITY = "0.500000\t2.000000\tOwl\n\\\t200.000000\t4000.000000\n3.0\t3.5\tFox, far\n"
SPECTROGRAM = f"{RAVEN}\tAnnotation\n1\tSpectrogram 1\t1\t0.5\t2.0\t200\t4000\tOwl\n"
TWO_VIEWS = (
    f"{RAVEN}\tSpecies\n1\tWaveform 1\t1\t0.5\t2.0\t\t\tOwl\n"
    "1\tSpectrogram 1\t1\t0.5\t2.0\t200\t4000\tOwl\n2\tWaveform 1\t1\t3.0\t3.5\t\t\tFox\n"
    "2\tSpectrogram 1\t1\t3.0\t3.5\t20\t400\tFox\n"
)
BEGIN_PATH = (
    f"{RAVEN}\tBegin Path\tFile Offset (s)\tAnnotation\n"
    "1\tSpectrogram 1\t1\t0.5\t2.0\t0\t1\tC:\\field\\dawn.wav\t0.5\tOwl\n"
    "2\tSpectrogram 1\t1\t63.0\t63.5\t0\t1\tC:\\field\\dusk.wav\t3.0\tFox\n"
)
BIRDNET = "Start (s),End (s),Scientific name,Common name,Confidence"
BIRDNET_R = "filepath,start,end,scientific_name,common_name,confidence,lat,lon,week,overlap"
BIRDNET_RAVEN = f"{RAVEN}\tCommon Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)"
OWL, FOX = Event("Owl", 0.5, 2.0), Event("Fox", 3.0, 3.5)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("dawn.txt", AUDACITY, {"dawn": [OWL, Event("Fox, far", 3.0, 3.5)]}),
        ("dawn.wav.txt", "0,500000\t2,000000\tOwl\r\n", {"dawn.wav": [OWL]}),
        ("dawn.BirdNET.results.txt", "0.5\t2.0\tOwl\t0.75\n", {"dawn": [OWL]}),
        ("silent.txt", "", {"silent": []}),
        ("dawn.Table.1.selections.txt", SPECTROGRAM, {"dawn": [OWL]}),
        ("dawn.selections.txt", TWO_VIEWS, {"dawn": [OWL, FOX]}),
        ("silent.selections.txt", f"{RAVEN}\tAnnotation\n", {"silent": []}),
        ("all.txt", BEGIN_PATH, {r"C:\field\dawn.wav": [OWL], r"C:\field\dusk.wav": [FOX]}),
        ("dawn.BirdNET.results.csv", f"{BIRDNET}\n0.5,2.0,Bubo bubo,Owl,0.7\n", {"dawn": [OWL]}),
        ("a.csv", f"{BIRDNET},File\n0.5,2.0,Bubo bubo,Owl,0.7,/x/a.wav\n", {"/x/a.wav": [OWL]}),
        ("a.csv", f"{BIRDNET}\n0.5;2.0;Owl;;0.7\n".replace(",", ";"), {"a": [OWL]}),
        ("a.csv", f"{BIRDNET_R}\nx/a.wav,0.5,2.0,Bubo,Owl,0.7,,,,\n", {"x/a.wav": [OWL]}),
        ("a.txt", f"{BIRDNET_RAVEN}\n1\tS 1\t1\t0\t3\t0\t9\tnocall\tnocall\t1\ta.wav\t0\n",
         {"a.wav": []}),
        ("e.tsv", f"{HEADER}a.wav\t0.5\t2.0\tOwl\nb.wav\t3\t3.5\tFox\n",
         {"a.wav": [OWL], "b.wav": [FOX]}),
        ("e.csv", "filename;onset;offset;event_label\na.wav;0,5;2,0;Owl\n", {"a.wav": [OWL]}),
    ],
)  # fmt: skip
def test_the_format_of_a_file_is_detected_by_its_content(write, name, content, expected):
    assert read_strong_labels(write(name, content)) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
@pytest.mark.parametrize(
    "content", ["0.5\t2\tKäuz\n", f"{RAVEN}\tAnnotation\n1\tS 1\t1\t0.5\t2\t\t\tKäuz\n"]
)
def test_letters_are_kept_in_the_encodings_that_tools_write(write, capsys, content, encoding):
    path = write("a.txt", content.encode(encoding))
    assert read_strong_labels(path) == {"a": [Event("Käuz", 0.5, 2.0)]}
    assert ("read as windows-1252" in capsys.readouterr().err) == (encoding == "windows-1252")


def test_scores_are_kept_and_others_are_not_a_number(write):
    path = write("a.csv", f"{BIRDNET}\n0.5,2.0,Bubo bubo,Owl,0.75\n3,3.5,,Fox,\n")
    first, second = read_detections(path)["a"]
    assert first == Detection("Owl", 0.5, 2.0, 0.75)
    assert math.isnan(second.score)


def test_labels_without_a_duration_are_left_out_with_a_warning(write, capsys):
    path = write("a.txt", "1.0\t1.0\there\n0.5\t2.0\tOwl\n")
    assert read_strong_labels(path) == {"a": [OWL]}
    assert "left out 1 label of zero length" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["audacity", "raven"])
def test_files_that_predict_writes_for_other_tools_are_read_back(write, name):
    events = [
        Detection("Owl", 0.016, 2.5, 0.91),
        Detection('"Tür", zu', 1 / 3, 2 / 3, 1.0),
        Detection("犬 #1", 1 / 3, 7200.0, 0.5),
    ]
    made = FORMATS[name]
    path = write(f"x/dawn.wav{made.suffix}", made.text(Prediction(9000.0, events)))
    for found in (read_strong_labels(path)["dawn.wav"], read_strong_labels(path.parents[1])):
        found = found if isinstance(found, list) else found["x/dawn.wav"]
        assert found == [Event(e.label, round(e.onset_s, 6), round(e.offset_s, 6)) for e in events]


def test_a_folder_of_files_is_one_table(write, tmp_path, capsys):
    write("labels/garden/0001.txt", "0.5\t2.0\tOwl\n")
    write("labels/street/0001.txt", "3.0\t3.5\tFox\n")
    write("labels/others.csv", "filename,onset,offset,event_label\nb.wav,3,3.5,Fox\n")
    write("labels/BirdNET_analysis_params.csv", "Segment length,Overlap\n3.0,0\n")
    write("labels/garden/0001.wav", b"sound")
    assert read_strong_labels(tmp_path / "labels") == {
        "garden/0001": [OWL], "street/0001": [FOX], "b.wav": [FOX],
    }  # fmt: skip
    assert "found no labels in 1 file of" in capsys.readouterr().err


# Refusals.


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a.wav\tsoon\t2\tDog", "onset and offset should be seconds"),
        ("a.wav\t\t\tDog", "onset and offset should be seconds"),
        ("a.wav\t2\t1\tDog", "0 <= onset < offset"),
        ("a.wav\t1\t1\tDog", "0 <= onset < offset"),
        ("a.wav\t-1\t1\tDog", "0 <= onset < offset"),
        ("a.wav\tnan\t1\tDog", "0 <= onset < offset"),
        ("a.wav\t0\tinf\tDog", "0 <= onset < offset"),
        ("a.wav\t0\t1\t", "a label"),
        ("\t0\t1\tDog", "a filename"),
    ],
)
def test_a_bad_row_is_shown_with_its_line_and_what_was_expected(write, row, sentence):
    path = write("strong.tsv", f"{HEADER}\na.wav\t0\t1\tDog\n{row}\n")
    with pytest.raises(SedmtlError) as error:
        read_strong_labels(path)
    for part in (f"{path}, line 4: ", sentence, "'label':"):
        assert part in str(error.value)


TWO_FILES = f"{RAVEN}\tBegin File\tAnnotation\n" + "".join(
    f"1\tSpectrogram 1\t1\t0.5\t2.0\t0\t1\t{name}.wav\tOwl\n" for name in "ab"
)


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.tsv", "filename\tonset\tevent_label\na\t0\tx\n", ("a.tsv should", "missing: offset")),
        ("a.txt", "Notes on owls\n", ("a.txt should", "missing: onset", "found: Notes on owls")),
        ("a.txt", "0.5\t2\tOwl\n3.0\t\tFox\n", ("a.txt, line 2: onset", "seconds", "'Fox'")),
        ("a.txt", "0.5\t2\n", ("a.txt, line 1: expected", "a label")),
        ("a.txt", TWO_FILES, ("lists 2 recordings", "expected the column File Offset (s)")),
        ("a.csv", f"{BIRDNET}\n0,3,,Owl,high\n", ("a.csv, line 2:", "a score a number", "'high'")),
        ("a.tsv", HEADER, ("a.tsv has a header but no rows",)),
        ("a.txt", b"0.5\t2\t\x81\n", ("a.txt is not in UTF-8", "0x81")),
    ],
)
def test_a_file_without_good_labels_is_one_sentence(write, name, content, parts):
    with pytest.raises(SedmtlError) as error:
        read_strong_labels(write(name, content))
    for part in parts:
        assert part in str(error.value)


def test_all_that_predict_writes_about_a_recording_is_one_list(write, tmp_path):
    found = Prediction(9.0, [Detection("Owl", 1 / 3, 2 / 3, 0.5)], filename="a.wav")
    for made in (FORMATS[name] for name in ("tsv", "csv", "audacity", "raven")):
        write(f"a.wav{made.suffix}", made.text(found))
    assert [event.label for event in read_strong_labels(tmp_path)["a.wav"]] == ["Owl"]


def test_two_files_of_a_folder_must_agree_about_a_recording(write, tmp_path):
    write("a.txt", "0.5\t2.0\tOwl\n")
    write("a.selections.txt", SPECTROGRAM)
    assert read_strong_labels(tmp_path) == {"a": [OWL]}
    write("a.txt", "0.5\t2.5\tOwl\n")
    with pytest.raises(
        SedmtlError, match=r"found two that differ, in .*a\.selections.* and .*a\.t"
    ):
        read_strong_labels(tmp_path)


def test_a_folder_without_label_files_is_named(tmp_path):
    with pytest.raises(SedmtlError, match="expected label files in the folder"):
        read_strong_labels(tmp_path)


# Which recording a file belongs to.


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["garden/0001.flac", "street/0001.flac"], "garden/0001.flac"),
        (["0001.flac", "day/garden/0001.flac", "garden/0001.flac"], "day/garden/0001.flac"),
        (["0001.flac", "street/0001.flac"], "0001.flac"),
        (["elsewhere/0001.flac", "garden/0002.flac"], "elsewhere/0001.flac"),
        (["garden/0001", "street/0001.flac"], "garden/0001"),
        ([r"D:\garden\0001.flac", r"D:\street\0001.flac"], r"D:\garden\0001.flac"),
    ],
)
def test_the_rows_of_a_file_are_those_with_the_longest_end_of_its_path(
    write, tmp_path, names, found
):
    rows = "".join(f"{name}\t0\t1\t{name}\n" for name in names)
    path = tmp_path / "day" / "garden" / "0001.flac"
    assert labels_of_file(write("t.tsv", HEADER + rows), path) == [Event(found, 0.0, 1.0)]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["garden/0002.flac"], "t.tsv has no row for 0001.flac"),
        (["a/0001.flac", "b/0001.flac"], "rows for a/0001.flac and b/0001.flac, which fit"),
    ],
)
def test_a_file_without_a_row_of_its_own_is_one_sentence(write, names, sentence):
    path = write("t.tsv", HEADER + "".join(f"{name}\t0\t1\tx\n" for name in names))
    with pytest.raises(SedmtlError, match=sentence):
        labels_of_file(path, Path("garden/0001.flac"))


def test_a_file_that_names_no_recording_is_of_the_one_it_is_given_for(write, tmp_path):
    path = write("Label Track.txt", "0.5\t2.0\tOwl\n")
    assert labels_of_file(path, tmp_path / "dawn.wav") == [OWL]
    with pytest.raises(SedmtlError, match=r"has no row for dusk\.wav"):
        labels_of_file(path.parent, tmp_path / "dusk.wav")


RECORDINGS = ["garden/0001.wav", "street/0001.wav", "street/0002.wav", "0003.wav", "x/0003.wav"]


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("garden/0001.wav", "garden/0001.wav"),
        ("street/0001", "street/0001.wav"),
        (r"C:\field\garden\0001.wav", "garden/0001.wav"),
        ("/home/field/street/0001.wav", "street/0001.wav"),
        ("0002.wav", "street/0002.wav"),
        ("elsewhere/0002.wav", "street/0002.wav"),
        ("0003.wav", "0003.wav"),
        ("0002.flac", None),
        ("0004.wav", None),
    ],
)
def test_a_name_means_the_recording_with_that_path_or_else_that_file_name(name, recording):
    expected = ({}, [name]) if recording is None else ({recording: [OWL]}, [])
    assert by_recording({name: [OWL]}, RECORDINGS, Path("t")) == expected


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["0001.wav"], r"t: '0001\.wav' may be garden/0001\.wav or street/0001\.wav"),
        (["0002.wav", "street/0002"], r"'0002\.wav' and 'street/0002' both mean street/0002\.wav"),
    ],
)
def test_a_name_that_means_two_recordings_and_two_that_mean_one_are_refused(names, sentence):
    with pytest.raises(SedmtlError, match=sentence):
        by_recording({name: [OWL] for name in names}, RECORDINGS, Path("t"))


def test_names_are_the_same_however_their_accents_are_stored():
    assert by_recording({"cafe\u0301.wav": 1}, ["x/caf\u00e9.wav"], Path("t"))[0] == {
        "x/caf\u00e9.wav": 1
    }
