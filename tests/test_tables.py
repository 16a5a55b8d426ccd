"""Tables written by people: what is tolerated, and what is refused."""

from __future__ import annotations

import pytest

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.tables import read_table


@pytest.fixture
def table(tmp_path):
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    "data",
    [
        b"file,label\na.wav,Dog bark\n",
        b"\xef\xbb\xbffile,label\r\na.wav,Dog bark\r\n",  # as Excel saves it
        b" file , label \n  a.wav , Dog bark  \n\n",
        b'"file","label"\n"a.wav","Dog bark"',
        b"file,label\na.wav,Dog bark,,\n",  # empty cells of a spreadsheet
        b",file,label\n0,a.wav,Dog bark\n",  # an index column without a name
    ],
)
def test_tables_written_by_different_programs_read_alike(table, data):
    table.write_bytes(data)
    assert read_table(table, ("file", "label")) == [{"file": "a.wav", "label": "Dog bark"}]


def test_other_columns_are_kept_and_missing_cells_are_empty(table):
    table.write_text("label,file,note\nDog,a.wav,loud\nCat,b.wav\n", encoding="utf-8")
    rows = read_table(table, ("file", "label"))
    assert [row["note"] for row in rows] == ["loud", ""]


def test_quotes_hold_the_separator(table):
    table.write_text('file,label\n"a,b.wav","Cat, meowing"\n')
    assert read_table(table, ("file",)) == [{"file": "a,b.wav", "label": "Cat, meowing"}]


def test_tabs_separate_a_tsv(table):
    table.write_text("file\tlabel\na b.wav\tDog, Cat\n")
    assert read_table(table, ("file",), "\t") == [{"file": "a b.wav", "label": "Dog, Cat"}]


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"file,lable\na,b\n", ["file, label", "missing: label", "found: file, lable"]),
        (b"file;label\na;b\n", ["missing: file, label", "separated by ';', expected ','"]),
        (b"file\tlabel\na\tb\n", ["missing: file, label", "separated by tabs, expected ','"]),
        (b"", ["missing: file, label", "found: nothing"]),
        (b"file,label\n", ["has a header but no rows"]),
        (b"file,label\na.wav,Dog\nb.wav,Dog,Cat\n", ["line 3", "expected 2 values", "'Cat'"]),
        (b"file,label\na.wav,D\xf6g\n", ["is not in UTF-8, found the byte 0xf6", "CSV UTF-8"]),
        (b"file,label\na.wav,Dog\na.wav,Cat\n", ["expected each file once", "a.wav 2 times"]),
        (b"file,label\n,Dog\n,Cat\n", ["each row needs a file, missing in 2"]),
    ],
)
def test_a_bad_table_names_itself_what_was_expected_and_what_was_found(table, data, parts):
    table.write_bytes(data)
    with pytest.raises(SedmtlError) as error:
        read_table(table, ("file", "label"), unique="file")
    for part in [str(table), *parts]:
        assert part in str(error.value)


def test_repeated_values_are_fine_if_no_column_is_unique(table):
    table.write_text("file,label\na.wav,Dog\na.wav,Cat\n")
    assert len(read_table(table, ("file", "label"))) == 2


def test_a_missing_table_is_named(table):
    with pytest.raises(SedmtlError, match=r"no table .*table\.csv: check this path, which"):
        read_table(table, ("file",))


def test_a_folder_is_not_a_table(tmp_path):
    with pytest.raises(SedmtlError, match="cannot read the table"):
        read_table(tmp_path, ("file",))
