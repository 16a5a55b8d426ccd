"""A result of the same inputs is current, whatever else is recorded with it."""

from __future__ import annotations

import os

import pytest

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.origin import Origin, Stamp, stamp_of

ORIGIN = Origin({"seed": 1, "classes": ("a", "Türglocke")}, {"version": "1.0"})


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    ORIGIN.write(tmp_path / ".x.origin")
    assert Origin.read(tmp_path / ".x.origin") == ORIGIN


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"decides": 1}', None])
def test_a_damaged_or_missing_record_is_none(tmp_path, text):
    path = tmp_path / ".x.origin"
    if text is not None:
        path.write_text(text)
    assert Origin.read(path) is None


def test_a_record_with_a_changed_value_is_none(tmp_path):
    path = tmp_path / ".x.origin"
    ORIGIN.write(path)
    path.write_text(path.read_text().replace("1.0", "1.1"))
    assert Origin.read(path) is None


def test_recorded_values_decide_nothing():
    assert ORIGIN.is_current(Origin(ORIGIN.decides, {"version": "2.0"}))
    assert ORIGIN.hash == Origin(ORIGIN.decides).hash


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        ({"seed": 2, "classes": ["a", "Türglocke"]}, ["seed"]),
        ({"seed": 1}, ["classes"]),
        ({"seed": 1, "classes": ["a", "Türglocke"], "more": 0}, ["more"]),
    ],
)
def test_a_changed_deciding_value_is_named(now, changes):
    assert ORIGIN.changes(Origin(now)) == changes
    assert ORIGIN.hash != Origin(now).hash


def test_a_stamp_changes_with_a_files_size_and_time(tmp_path):
    path = tmp_path / "a.wav"
    path.write_text("abc")
    stamps = [(Stamp.of(path), stamp_of([path]))]
    os.utime(path, ns=(0, 10**9))
    stamps.append((Stamp.of(path), stamp_of([path])))
    path.write_text("abcd")
    os.utime(path, ns=(0, 10**9))
    stamps.append((Stamp.of(path), stamp_of([path])))
    assert len({one for one, _ in stamps}) == len({many for _, many in stamps}) == 3


def test_a_missing_file_has_no_stamp(tmp_path):
    assert Stamp.of(tmp_path / "none.wav") == (-1, -1)
    with pytest.raises(SedmtlError, match=r"cannot examine .*none\.wav"):
        stamp_of([tmp_path / "none.wav"])
