from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sedmtl.events import Detection
from sedmtl.inference.journal import Journal
from sedmtl.inference.prediction import Prediction
from sedmtl.runtime.documents import sealed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.origin import Stamp

BASIS = {"run": "a", "settings": {"threshold": (0.5, 0.1)}}


@pytest.fixture
def journal_path(tmp_path):
    return tmp_path / "new" / "journal.jsonl"


@pytest.fixture
def sounds(tmp_path):
    paths = [tmp_path / name for name in ("a.wav", "b ä\t.wav", "c.wav")]
    for path in paths:
        path.write_bytes(b"audio")
    return paths


def found_at(onset_s=1 / 3):
    events = [Detection('dog "ä"', onset_s, onset_s + 0.1, 0.7), Detection("x", 2.0, 3.0, 0.1)]
    return Prediction(12.5, events, [("x", 1 / 7)])


def write(path, sounds, basis=BASIS):
    with Journal(path, basis) as journal:
        for sound in sounds:
            journal.add(sound, Stamp.of(sound), found_at())
    return path.read_bytes()


def found(path, sounds, basis=BASIS):
    with Journal(path, basis) as journal:
        return [journal.find(sound) is not None for sound in sounds]


def test_entries_come_back_exactly(journal_path, sounds):
    write(journal_path, sounds[:2])
    with Journal(journal_path, BASIS) as journal:
        assert journal.changed == []
        assert journal.find(sounds[0]) == found_at()
        assert journal.find(sounds[1]) == found_at()
        assert journal.find(sounds[2]) is None


def test_an_entry_is_on_disk_as_soon_as_it_is_added(journal_path, sounds):
    with Journal(journal_path, BASIS) as journal:
        for n_done, sound in enumerate(sounds, start=1):
            journal.add(sound, Stamp.of(sound), found_at())
            lines = journal_path.read_text().splitlines()
            assert len(lines) == 1 + n_done
            assert json.loads(lines[-1])["path"] == str(sound)
            assert journal.find(sound) == found_at()


@pytest.mark.parametrize("n_lost", range(1, 60, 7))
def test_a_line_that_was_cut_off_is_dropped_and_written_again(journal_path, sounds, n_lost):
    content = write(journal_path, sounds[:2])
    journal_path.write_bytes(content[:-n_lost])
    assert found(journal_path, sounds) == [True, False, False]
    assert journal_path.read_bytes() == content[:-n_lost]
    assert write(journal_path, sounds[1:2]) == content


def test_a_damaged_line_costs_no_other(journal_path, sounds):
    lines = write(journal_path, sounds).splitlines(keepends=True)
    damaged = b"".join([lines[0], lines[1], b"\0\0\0\n", lines[3]])
    journal_path.write_bytes(damaged)
    assert found(journal_path, sounds) == [True, False, True]
    assert write(journal_path, sounds[1:2]) == damaged + lines[2]


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"duration_s": 12.5', b'"duration_s": 13.5'),
        lambda line: line.replace(b"0.7", b"0.9"),
        lambda line: json.dumps({**json.loads(line), "tags": []}).encode() + b"\n",
        lambda _: json.dumps(sealed({"path": "a"})).encode() + b"\n",
        lambda _: json.dumps(sealed({"path": "a", "stamp": 1, "events": []})).encode() + b"\n",
        lambda _: b"[" * 100_000 + b"\n",
    ],
)
def test_an_altered_line_is_skipped(journal_path, sounds, change):
    lines = write(journal_path, sounds).splitlines(keepends=True)
    assert change(lines[2]) != lines[2]
    journal_path.write_bytes(b"".join([*lines[:2], change(lines[2]), lines[3]]))
    assert found(journal_path, sounds) == [True, False, True]


def test_a_changed_file_has_no_entry(journal_path, sounds):
    write(journal_path, sounds)
    sounds[0].write_bytes(b"other audio")
    stat = sounds[1].stat()
    os.utime(sounds[1], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert found(journal_path, sounds) == [False, False, True]


def test_the_newest_entry_of_a_file_counts(journal_path, sounds):
    write(journal_path, sounds)
    with Journal(journal_path, BASIS) as journal:
        journal.add(sounds[0], Stamp.of(sounds[0]), found_at(5.0))
    with Journal(journal_path, BASIS) as journal:
        assert journal.find(sounds[0]) == found_at(5.0)


def test_a_deleted_file_has_no_entry(journal_path, sounds):
    write(journal_path, sounds)
    sounds[0].unlink()
    assert found(journal_path, sounds) == [False, True, True]


def test_a_file_is_the_same_from_any_folder(journal_path, sounds, monkeypatch):
    write(journal_path, sounds)
    monkeypatch.chdir(sounds[0].parent)
    relative = [sound.relative_to(sounds[0].parent) for sound in sounds]
    assert found(journal_path, relative) == [True] * 3


@pytest.mark.parametrize(
    ("basis", "changed"),
    [
        ({**BASIS, "run": "b"}, ["run"]),
        ({"run": "a", "settings": {"threshold": [0.5, 0.2]}}, ["settings"]),
        ({"run": "a"}, ["settings"]),
        ({**BASIS, "run": "b", "version": 1}, ["run", "version"]),
    ],
)
def test_another_basis_starts_over_and_says_what_changed(journal_path, sounds, basis, changed):
    before = write(journal_path, sounds)
    with Journal(journal_path, basis) as journal:
        assert journal.changed == changed
        assert journal.find(sounds[0]) is None
    assert journal_path.read_bytes() == before
    write(journal_path, sounds[:1], basis)
    assert journal_path.read_bytes().startswith(before)
    with Journal(journal_path, basis) as journal:
        assert journal.changed == []
        assert journal.find(sounds[0]) == found_at()


def test_results_of_other_settings_are_reused_when_these_return(journal_path, sounds):
    write(journal_path, sounds)
    other = {**BASIS, "run": "b"}
    write(journal_path, sounds[:1], other)
    assert found(journal_path, sounds) == [True] * 3
    assert found(journal_path, sounds, other) == [True, False, False]
    both = write(journal_path, sounds[1:2])
    assert both.splitlines()[-2] == both.splitlines()[0]  # the header again


def test_a_lost_heading_gives_no_result_to_other_settings(journal_path, sounds):
    write(journal_path, sounds[:1])
    lines = write(journal_path, sounds[1:], {**BASIS, "run": "b"}).splitlines(keepends=True)
    journal_path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert found(journal_path, sounds) == [True, False, False]


def test_without_a_result_there_is_no_journal(journal_path):
    with Journal(journal_path, BASIS):
        pass
    assert not journal_path.parent.exists()


@pytest.mark.parametrize("content", [b"no journal\n", b"[1]\n", b"\xff\xfe\n", b'{"schema": 1'])
def test_a_file_that_is_not_a_journal_is_left_alone(journal_path, content):
    journal_path.parent.mkdir()
    journal_path.write_bytes(content)
    with pytest.raises(SedmtlError, match=r"journal\.jsonl is not a journal .*: move it away"):
        Journal(journal_path, BASIS)
    assert journal_path.read_bytes() == content


def test_an_empty_file_becomes_a_journal(journal_path, sounds):
    expected = write(journal_path, sounds)
    journal_path.write_bytes(b"")
    assert write(journal_path, sounds) == expected


def test_a_journal_that_cannot_be_written_is_named(tmp_path, sounds):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "journal.jsonl").mkdir(parents=True)
    with pytest.raises(SedmtlError, match=r"cannot read .*journal\.jsonl: Not a directory"):
        Journal(tmp_path / "file" / "journal.jsonl", BASIS)
    with pytest.raises(SedmtlError, match=r"cannot read .*journal\.jsonl: Is a directory"):
        Journal(tmp_path / "folder" / "journal.jsonl", BASIS)
    late = tmp_path / "late" / "journal.jsonl"
    with Journal(late, BASIS) as journal:
        late.mkdir(parents=True)
        with pytest.raises(SedmtlError, match=r"cannot write .*journal\.jsonl: Is a directory"):
            journal.add(sounds[0], Stamp.of(sounds[0]), found_at())


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_a_link_out_of_the_folder_is_not_a_journal(journal_path, sounds, tmp_path, plant):
    content = write(journal_path, sounds)
    outside = journal_path.rename(tmp_path / "outside")
    plant(journal_path, outside)
    with pytest.raises(SedmtlError, match=r"cannot read .*journal\.jsonl: expected a file"):
        Journal(journal_path, BASIS)
    assert outside.read_bytes() == content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_sentence(journal_path, sounds):
    def fill_up():
        with Journal(journal_path, BASIS) as journal:
            journal._file = Path("/dev/full").open("r+b")  # noqa: SIM115 - closed by the journal
            journal.add(sounds[0], Stamp.of(sounds[0]), found_at())

    with pytest.raises(SedmtlError, match=r"cannot write .*journal\.jsonl: No space left"):
        fill_up()
