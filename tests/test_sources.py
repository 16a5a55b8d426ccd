from __future__ import annotations

import os
from pathlib import Path

import pytest

from sedmtl.inference.sources import RESERVED_S, Source, claim_output, files_about, find_sources
from sedmtl.runtime.errors import SedmtlError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.wav", "a/sub/y.flac", "a/notes.txt", "b/x.wav", "z.ogg", "empty/.hidden.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(*paths):
    return [source.name for source in find_sources([Path(path) for path in paths])]


def test_files_are_called_what_they_were_called(here):
    assert names("z.ogg", "./a/x.wav", "a/../z.ogg") == ["z.ogg", "a/x.wav", "a/../z.ogg"]
    assert names(here / "z.ogg") == [str(here / "z.ogg")]


def test_files_of_a_folder_are_called_by_their_path_from_there(here):
    assert names("a") == ["sub/y.flac", "x.wav"]
    assert names(here / "a") == ["sub/y.flac", "x.wav"]
    assert [source.path for source in find_sources([here / "b"])] == [here / "b" / "x.wav"]


@pytest.mark.usefixtures("here")
def test_names_that_would_be_two_recordings_are_the_paths_as_typed():
    assert names("a", "b") == ["a/sub/y.flac", "a/x.wav", "b/x.wav"]


def test_a_recording_that_is_named_twice_is_one(here):
    assert names("a", "a/x.wav", here / "a", "a") == ["sub/y.flac", "x.wav"]


@pytest.mark.usefixtures("here")
def test_what_is_missing_stays_to_fail_later():
    assert names("none.wav", "empty", "z.ogg") == ["none.wav", "empty", "z.ogg"]


def test_a_name_in_a_folder_that_is_no_utf8_is_refused(here):
    try:
        Path(os.fsdecode(os.fsencode(here) + b"/a/T\xfcr.wav")).touch()
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    with pytest.raises(SedmtlError, match="UTF-8"):
        find_sources([here / "a"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.wav", "out/a.wav.txt"),
        ("sub/a b.wav", "out/sub/a b.wav.txt"),
        ("/data/a.wav", "out/data/a.wav.txt"),
        ("../../etc/../a.wav", "out/etc/a.wav.txt"),
    ],
)
def test_files_about_a_recording_mirror_its_name_and_never_leave_the_folder(name, expected):
    assert Source(name, Path("x")).beside(Path("out"), ".txt") == Path(expected)


def test_recordings_that_would_share_a_file_are_refused(here):
    sources = find_sources([Path("z.ogg"), Path("a/../z.ogg"), Path("../z.ogg")])
    with pytest.raises(SedmtlError, match=r"2 recordings .* written to .*out/z\.ogg\.csv"):
        files_about(sources, here / "out", ".csv")
    alike = [Source(name, Path(name)) for name in ("a.wav", "a.flac", "a.wav.wav", "sub/a.wav")]
    assert len(set(files_about(alike, here, ".csv"))) == 4


def test_a_name_is_free_again_after_its_output_was_deleted(here):
    out = here / "out"

    def claim(name):
        return claim_output(here / "work", out, here / name, [".png"]).name

    assert claim("a/x.wav") == "x"
    assert claim("b/x.wav") == "x-2"  # the first may be about to write
    (out / "x.png").touch()
    long_ago = (out / ".x.of").stat().st_mtime - 2 * RESERVED_S
    os.utime(out / ".x.of", (long_ago, long_ago))
    (out / ".x-2.of").unlink()
    assert claim("b/x.wav") == "x-2"
    (out / ".x-2.of").unlink()
    (out / "x.png").unlink()
    assert claim("b/x.wav") == "x"
    assert claim("a/x.wav") == "x-2"
