"""The manifest finds missing and changed files; checksums agree with other tools."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import zlib
from dataclasses import replace

import pytest

from sedmtl.data.download.catalogue import Archive, Corpus
from sedmtl.data.download.manifest import Manifest, Problem, crc32_of, md5_of
from sedmtl.data.download.unpacking import Entry
from sedmtl.runtime.errors import SedmtlError

FIRST, SECOND = Archive("1.zip", "1" * 32, 10), Archive("2.zip", "2" * 32, 10)
CORPUS = Corpus("tiny", "tests", "Tiny", 1, "none", 100, 3, (FIRST, SECOND))
FILES = {"a.wav": b"first", "deep/é.wav": b"second", "empty": b""}
ENTRIES = [Entry(name, len(content), zlib.crc32(content)) for name, content in FILES.items()]


@pytest.fixture
def manifest(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "Tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    made = Manifest(CORPUS, tmp_path)
    made.add(FIRST, ENTRIES[:2])
    made.add(SECOND, ENTRIES[2:])
    return made


def check(manifest):
    return [*manifest.check(FIRST, lambda _: None), *manifest.check(SECOND, lambda _: None)]


# --- Checksums -----------------------------------------------------------------------------------


def test_md5_is_that_of_rfc_1321(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert md5_of(tmp_path / "x", lambda _: None) == "900150983cd24fb0d6963f7d28e17f72"


def test_crc32_has_its_check_value(tmp_path):
    (tmp_path / "x").write_bytes(b"123456789")
    assert crc32_of(tmp_path / "x") == 0xCBF43926


@pytest.mark.parametrize("n_bytes", [0, 1, 2**20, 2**20 + 1, 3 * 2**20 - 1])
def test_checksums_in_chunks_are_those_of_the_whole(tmp_path, n_bytes):
    content = random.Random(n_bytes).randbytes(n_bytes)
    (tmp_path / "x").write_bytes(content)
    told = []
    assert md5_of(tmp_path / "x", told.append) == hashlib.md5(content).hexdigest()
    assert sum(told) == n_bytes
    assert crc32_of(tmp_path / "x") == zlib.crc32(content)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SedmtlError, match=r"cannot read .*gone: No such file"):
        crc32_of(tmp_path / "gone")


# --- Manifest ------------------------------------------------------------------------------------


def test_untouched_files_are_fine(manifest):
    assert check(manifest) == []
    assert manifest.is_here(FIRST)
    assert manifest.is_here(SECOND)


@pytest.mark.usefixtures("manifest")
def test_the_manifest_on_disk_equals_the_one_in_memory(tmp_path):
    again = Manifest(CORPUS, tmp_path)
    assert again.entries(FIRST) == tuple(ENTRIES[:2])
    assert again.entries(SECOND) == tuple(ENTRIES[2:])
    assert (again.n_files, again.n_bytes) == (3, 11)
    assert check(again) == []


def test_a_missing_file_is_listed(manifest, tmp_path):
    (tmp_path / "Tiny" / "a.wav").unlink()
    assert check(manifest) == [Problem("missing", str(tmp_path / "Tiny" / "a.wav"))]
    assert not manifest.is_here(FIRST)
    assert manifest.is_here(SECOND)


def test_a_folder_in_place_of_a_file_is_missing(manifest, tmp_path):
    (tmp_path / "Tiny" / "a.wav").unlink()
    (tmp_path / "Tiny" / "a.wav").mkdir()
    assert [problem.what for problem in check(manifest)] == ["missing"]


@pytest.mark.parametrize("content", [b"firsT", b"fir", b"first and more", b""])
def test_a_changed_file_is_listed_whatever_its_size(manifest, tmp_path, content):
    (tmp_path / "Tiny" / "a.wav").write_bytes(content)
    assert check(manifest) == [Problem("changed", str(tmp_path / "Tiny" / "a.wav"))]


def test_a_truncated_file_is_not_here(manifest, tmp_path):
    (tmp_path / "Tiny" / "a.wav").write_bytes(b"fir")
    assert not manifest.is_here(FIRST)


def test_other_files_are_ignored(manifest, tmp_path):
    (tmp_path / "Tiny" / "notes.txt").write_text("mine")
    assert check(manifest) == []


def test_an_archive_that_was_never_unpacked_is_missing(tmp_path):
    manifest = Manifest(CORPUS, tmp_path)
    manifest.add(FIRST, [])
    [problem] = check(manifest)
    assert problem.what == "missing"
    assert "2.zip" in problem.name
    assert not manifest.is_here(SECOND)


def test_a_republished_archive_is_not_the_unpacked_one(manifest):
    anew = replace(FIRST, md5="3" * 32)
    assert manifest.entries(anew) is None
    assert not manifest.is_here(anew)


def test_each_checked_file_is_reported(manifest):
    told = []
    manifest.check(FIRST, told.append)
    assert told == [1, 1]


def test_no_archive_is_lost_when_threads_add_at_once(tmp_path):
    archives = tuple(Archive(f"{n}.zip", f"{n:032d}", 1) for n in range(20))
    manifest = Manifest(replace(CORPUS, archives=archives), tmp_path)
    together = threading.Barrier(len(archives))

    def add(archive):
        together.wait()
        manifest.add(archive, [Entry(archive.name, 1, 2)])

    threads = [threading.Thread(target=add, args=(archive,)) for archive in archives]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Manifest(manifest.corpus, tmp_path).n_files == len(archives)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"schema": 2, "corpus": "tiny", "archives": {}}),
        json.dumps({"schema": 1, "corpus": "other", "archives": {}}),
        json.dumps({"schema": 1, "corpus": "tiny", "archives": []}),
        json.dumps({"schema": 1, "corpus": "tiny", "archives": {"1.zip": {"md5": "1"}}}),
        json.dumps(
            {"schema": 1, "corpus": "tiny", "archives": {"1": {"md5": "1", "files": {"a": [1]}}}}
        ),
    ],
)
def test_a_file_that_is_not_a_manifest_is_refused(tmp_path, text):
    (tmp_path / "Tiny.manifest.json").write_text(text)
    with pytest.raises(SedmtlError, match=r"Tiny.manifest.json is no manifest of tiny.*move it"):
        Manifest(CORPUS, tmp_path)
