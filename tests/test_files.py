"""Text files are whole or absent."""

from __future__ import annotations

import os
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sedmtl.runtime.atomic import remove_file, write_text
from sedmtl.runtime.errors import SedmtlError


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

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "x", "new and longer")
    assert (tmp_path / "x").read_text() == "old"
    monkeypatch.undo()
    write_text(tmp_path / "x", "new")  # shorter than what is left of the first try
    assert (tmp_path / "x").read_text() == "new"


def test_a_full_disk_is_named_leaves_the_old_file_and_no_part_of_the_new(tmp_path):
    write_text(tmp_path / "x", "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(SedmtlError, match=r"cannot write .*x: File too large"):
            write_text(tmp_path / "x", "new" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_a_link_stays_one_and_what_it_names_is_replaced(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_pipe_stays_one_and_takes_the_text(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_text)
        write_text(tmp_path / "pipe", "new")
        assert read.result() == "new"
    assert (tmp_path / "pipe").is_fifo()


def test_of_two_that_write_one_file_each_writes_it_whole(tmp_path):
    texts = ["a" * 50_000, "b" * 70_000]
    write_text(tmp_path / "x", texts[0])

    def write(text):
        for _ in range(200):
            write_text(tmp_path / "x", text)
            assert (tmp_path / "x").read_text() in texts

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, texts))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


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
