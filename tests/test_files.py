"""Text files are whole or absent."""

from __future__ import annotations

import os
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import lock_descriptor

from sedmtl.runtime.atomic import remove_file, write_text
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import open_own, read_text


def test_the_text_is_written_as_it_is_and_its_folder_made(tmp_path):
    path = tmp_path / "a" / "b" / "plan.yaml"
    write_text(path, "classes: [Geige é]\n")
    assert path.read_bytes() == "classes: [Geige é]\n".encode()
    assert [each.name for each in path.parent.iterdir()] == ["plan.yaml"]


def test_an_old_file_is_replaced(tmp_path):
    for text in ("a long first text", "short"):
        write_text(tmp_path / "x", text)
    assert (tmp_path / "x").read_text() == "short"


def test_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_text(tmp_path / "x", "old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "x", "new and longer")
    assert (tmp_path / "x").read_text() == "old"
    monkeypatch.undo()
    write_text(tmp_path / "x", "new")  # shorter than the remains of the first attempt
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


PLANTS = {
    "a link": lambda path, target: path.symlink_to(target),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a second name": lambda path, target: path.hardlink_to(target),
}


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "elsewhere" / "target"
    path.parent.mkdir()
    path.write_text("mine")
    return path


@pytest.mark.parametrize("found", ["a link", "a pipe"])
def test_only_regular_files_are_written_to(tmp_path, target, found):
    PLANTS[found](tmp_path / "x", target)
    with pytest.raises(SedmtlError, match=rf"cannot write .*x: expected a file, found {found}"):
        write_text(tmp_path / "x", "new")
    assert target.read_text() == "mine"


@pytest.mark.parametrize("found", PLANTS)
def test_foreign_files_are_not_taken_for_the_unfinished_one(tmp_path, target, found):
    write_text(tmp_path / "x", "old")
    PLANTS[found](tmp_path / ".x.part", target)
    with pytest.raises(SedmtlError, match=rf"cannot write .*x: expected a file, found .*{found}"):
        write_text(tmp_path / "x", "new")
    assert target.read_text() == "mine"
    assert (tmp_path / "x").read_text() == "old"


def test_a_file_that_another_process_keeps_locked_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sedmtl.runtime.atomic.PATIENCE_S", 0)
    with (tmp_path / ".x.part").open("ab") as held:
        lock_descriptor(held.fileno())
        with pytest.raises(SedmtlError, match=r"cannot write .*x: another process holds .*x\.part"):
            write_text(tmp_path / "x", "new")
    write_text(tmp_path / "x", "new")


@pytest.mark.parametrize("found", ["a link", "a second name"])
def test_a_file_opened_for_truncation_keeps_its_content_unless_it_is_ours(tmp_path, target, found):
    PLANTS[found](tmp_path / "x", target)
    with pytest.raises(OSError, match="expected a file"):
        open_own(tmp_path / "x", "wb")
    assert target.read_text() == "mine"
    open_own(tmp_path / "y", "wb").close()
    assert (tmp_path / "y").read_bytes() == b""


def test_reading_follows_links_and_does_not_wait_for_pipes(tmp_path, target):
    (tmp_path / "link").symlink_to(target)
    assert read_text(tmp_path / "link") == "mine"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="expected a file, found a pipe"):
        read_text(tmp_path / "pipe")


def test_two_writers_of_one_file_each_write_it_whole(tmp_path):
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


def test_a_file_is_removed_and_a_missing_one_is_no_error(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    for _ in range(2):
        remove_file(tmp_path / "a.txt")
        assert not (tmp_path / "a.txt").exists()


def test_a_path_that_cannot_be_removed_is_named(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(SedmtlError, match=r"cannot remove .*a\.txt"):
        remove_file(tmp_path / "a.txt")
