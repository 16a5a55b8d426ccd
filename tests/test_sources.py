from __future__ import annotations

import os
from pathlib import Path

import pytest

from sedmtl.inference.sources import Source, files_about, find_sources, free_path, outputs_of
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


def test_files_have_the_names_as_given(here):
    assert names("z.ogg", "./a/x.wav", "a/../z.ogg") == ["z.ogg", "a/x.wav", "a/../z.ogg"]
    assert names(here / "z.ogg") == [str(here / "z.ogg")]


def test_files_of_a_folder_are_named_by_their_path_within_it(here):
    assert names("a") == ["sub/y.flac", "x.wav"]
    assert names(here / "a") == ["sub/y.flac", "x.wav"]
    assert [source.path for source in find_sources([here / "b"])] == [here / "b" / "x.wav"]


@pytest.mark.usefixtures("here")
def test_ambiguous_names_are_the_paths_as_typed():
    assert names("a", "b") == ["a/sub/y.flac", "a/x.wav", "b/x.wav"]


def test_a_recording_that_is_named_twice_is_one(here):
    assert names("a", "a/x.wav", here / "a", "a") == ["sub/y.flac", "x.wav"]


@pytest.mark.usefixtures("here")
def test_missing_files_are_kept_to_fail_later():
    assert names("none.wav", "empty", "z.ogg") == ["none.wav", "empty", "z.ogg"]


@pytest.mark.usefixtures("here")
def test_if_nothing_can_be_read_the_first_is_named_at_once():
    with pytest.raises(SedmtlError, match=r"in the folder empty \(and 1 more of 2"):
        names("empty", "none.wav")


def test_a_name_in_a_folder_that_is_not_utf8_is_refused(here):
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
        ("...wav", "out/...wav.txt"),
        ("..", "out/_.txt"),
        (".", "out/_.txt"),
    ],
)
def test_files_about_a_recording_mirror_its_name_and_never_leave_the_folder(name, expected):
    assert Source(name, Path("x")).output_path(Path("out"), ".txt") == Path(expected)


def test_recordings_that_would_share_a_file_are_refused(here):
    sources = find_sources([Path("z.ogg"), Path("a/../z.ogg"), Path("../z.ogg")])
    with pytest.raises(SedmtlError, match=r"2 files would be written to .*out/z\.ogg\.csv"):
        files_about(sources, here / "out", [".csv"])
    alike = [Source(name, Path(name)) for name in ("a.wav", "a.flac", "a.wav.wav", "sub/a.wav")]
    assert len(set(files_about(alike, here, [".csv"])[".csv"])) == 4


def test_a_recording_whose_file_would_be_another_table_is_refused(here):
    sources = [Source(name, Path(name)) for name in ("events", "a", "a.selections")]
    with pytest.raises(SedmtlError, match=r"2 files would be written to .*events\.tsv"):
        files_about(sources, here, [".tsv"], [here / "events.tsv"])
    with pytest.raises(SedmtlError, match=r"2 files would be written to .*a\.selections\.txt"):
        files_about(sources, here, [".txt", ".selections.txt"])


@pytest.fixture
def claim(here):
    """Claim an output name for a recording and write the output."""

    def claim_for(name, text="output"):
        outputs = outputs_of(here / name, here / "out")
        with outputs.alone():
            path = free_path(outputs, here / "work", here / name, lambda at: [at.with_suffix(".t")])
            outputs.write(path.with_suffix(".t"), text)
        return path.name

    return claim_for


def test_a_name_is_the_recordings_until_its_output_is_deleted(here, claim):
    assert claim("a/x.wav") == "x"
    assert claim("b/x.wav") == "x-2"
    assert claim("a/x.wav", "anew") == "x"
    (here / "out" / "x.t").unlink()
    assert claim("b/x.wav") == "x"
    assert claim("a/x.wav") == "x-3"


def test_files_that_the_user_changed_keep_their_names(here, claim):
    claim("a/x.wav")
    (here / "out" / "x.t").write_text("edited")
    assert claim("a/x.wav") == "x-2"
    assert (here / "out" / "x.t").read_text() == "edited"


@pytest.mark.parametrize("name", ["...wav", "..wav", "....wav"])
def test_a_name_of_dots_leads_into_no_other_folder(claim, name):
    assert claim(name) == "_"
