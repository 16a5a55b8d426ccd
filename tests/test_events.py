"""Strong labels: the DCASE TSV, there and back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from sedmtl.events import Event, labels_of_file, read_strong_labels, strong_label_text
from sedmtl.runtime.errors import SedmtlError

LABELS = {
    "a.wav": [Event("Dog bark", 0.5, 2.5), Event("Cat, meowing", 3.0, 3.125)],
    "b é.wav": [Event("Dog bark", 0.0, 10.0)],
    '"c".wav': [Event('"Dog', 0.0, 1.0), Event("Dog\tbark", 1.0, 2.0)],
}


def test_labels_survive_writing_and_reading(tmp_path):
    path = tmp_path / "strong.tsv"
    path.write_text(strong_label_text(LABELS), encoding="utf-8")
    assert read_strong_labels(path) == LABELS


def test_the_text_is_the_dcase_tsv():
    rows = list(csv.reader(io.StringIO(strong_label_text(LABELS)), delimiter="\t"))
    assert rows[0] == ["filename", "onset", "offset", "event_label"]
    assert rows[1] == ["a.wav", "0.500", "2.500", "Dog bark"]
    assert len(rows) == 6


def test_no_clips_give_a_header():
    assert strong_label_text({}) == "filename\tonset\toffset\tevent_label\n"


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
def test_a_bad_row_is_shown_with_what_was_expected(tmp_path, row, sentence):
    path = tmp_path / "strong.tsv"
    path.write_text(f"filename\tonset\toffset\tevent_label\n{row}\n")
    with pytest.raises(SedmtlError) as error:
        read_strong_labels(path)
    assert str(path) in str(error.value)
    assert sentence in str(error.value)
    assert "'event_label':" in str(error.value)


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "strong.tsv").write_text("filename\tonset\tevent_label\na.wav\t0\tDog\n")
    with pytest.raises(SedmtlError, match="missing: offset"):
        read_strong_labels(tmp_path / "strong.tsv")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["garden/0001.flac", "street/0001.flac"], "garden/0001.flac"),
        (["0001.flac", "day/garden/0001.flac", "garden/0001.flac"], "day/garden/0001.flac"),
        (["0001.flac", "street/0001.flac"], "0001.flac"),
        (["elsewhere/0001.flac", "garden/0002.flac"], "elsewhere/0001.flac"),
    ],
)
def test_the_row_of_a_file_is_that_with_the_longest_end_of_its_path(tmp_path, names, found):
    labels = {name: [Event(name, 0.0, 1.0)] for name in names}
    path = tmp_path / "day" / "garden" / "0001.flac"
    assert labels_of_file(labels, Path("t.tsv"), path) == labels[found]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["garden/0002.flac"], "t.tsv has no row for 0001.flac"),
        (["a/0001.flac", "b/0001.flac"], "rows for a/0001.flac and b/0001.flac, and none"),
    ],
)
def test_a_file_without_a_row_of_its_own_is_one_sentence(names, sentence):
    labels = {name: [Event("x", 0.0, 1.0)] for name in names}
    with pytest.raises(SedmtlError, match=sentence):
        labels_of_file(labels, Path("t.tsv"), Path("garden/0001.flac"))
