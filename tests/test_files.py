"""Text files are whole or absent."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sedmtl.errors import SedmtlError
from sedmtl.files.whole import remove_file, write_text


def test_the_text_is_written_as_it_is_and_its_folder_made(tmp_path):
    path = tmp_path / "a" / "b" / "plan.yaml"
    write_text(path, "classes: [Geige é]\n")
    assert path.read_bytes() == "classes: [Geige é]\n".encode()
    assert [each.name for each in path.parent.iterdir()] == ["plan.yaml"]


def test_an_old_file_is_replaced(tmp_path):
    for text in ("a long first text", "short"):
        write_text(tmp_path / "x", text)
    assert (tmp_path / "x").read_text() == "short"


def test_an_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_text(tmp_path / "x", "old")

    def fill_the_disk(path, content):
        with path.open("wb") as file:
            file.write(content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(SedmtlError, match=r"cannot write .*x: No space left on device"):
        write_text(tmp_path / "x", "new and longer")
    assert (tmp_path / "x").read_text() == "old"


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "work").write_text("a file")
    with pytest.raises(SedmtlError, match=r"cannot write .*plan"):
        write_text(tmp_path / "work" / "plan", "text")


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    (tmp_path / "plan").mkdir()
    with pytest.raises(SedmtlError, match=r"cannot write .*plan"):
        write_text(tmp_path / "plan", "text")


def test_a_file_is_removed_and_one_that_is_not_there_is_no_error(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    for _ in range(2):
        remove_file(tmp_path / "a.txt")
        assert not (tmp_path / "a.txt").exists()


def test_what_cannot_be_removed_is_named(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(SedmtlError, match=r"cannot remove .*a\.txt"):
        remove_file(tmp_path / "a.txt")
