"""Strong labels as text: the DCASE TSV."""

from __future__ import annotations

import csv
import io

from sedmtl.events import Event, strong_label_text
from sedmtl.label_files import read_strong_labels

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
