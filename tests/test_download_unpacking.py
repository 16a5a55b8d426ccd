"""A ZIP file is unpacked to exactly its files below the folder, or not at all."""

from __future__ import annotations

import io
import random
import stat
import zipfile
import zlib

import pytest
from local_server import tree, zipped

from sedmtl.data.download import unpacking
from sedmtl.data.download.unpacking import Entry, Limits, unpack
from sedmtl.runtime.errors import SedmtlError

ROOMY = Limits(n_bytes=10**8, n_files=1000)
RANDOM = random.Random(0)
FILES = {
    "audio/a.wav": RANDOM.randbytes(3000),
    "audio/deep/b.wav": RANDOM.randbytes(10),
    "meta.csv": b"filename\n" * 50,
    "empty": b"",
}


@pytest.fixture
def unpacked(tmp_path):
    """A function that unpacks an archive's bytes into tmp_path/data/Corpus."""

    def run(archive: bytes, limits: Limits = ROOMY):
        path = tmp_path / "archive.zip"
        path.write_bytes(archive)
        return unpack(path, tmp_path / "data" / "Corpus", limits, lambda _: None)

    return run


def assert_nothing_was_written(tmp_path):
    assert tree(tmp_path).keys() == {"archive.zip"}


def test_the_files_are_those_of_the_archive(unpacked, tmp_path):
    entries = unpacked(zipped(FILES))
    assert tree(tmp_path / "data" / "Corpus") == FILES
    assert entries == [Entry(name, len(c), zlib.crc32(c)) for name, c in FILES.items()]


def test_it_agrees_with_zipfile_on_an_archive_of_folders(unpacked, tmp_path):
    archive = io.BytesIO(zipped({"a/b/": b"", "a/b/c": b"1", "./a/d": b"22", "a//e": b"333"}))
    unpacked(archive.getvalue())
    zipfile.ZipFile(archive).extractall(tmp_path / "reference")
    assert tree(tmp_path / "data" / "Corpus") == tree(tmp_path / "reference")


def test_a_first_folder_of_the_same_name_is_the_folder_itself(unpacked, tmp_path):
    entries = unpacked(zipped({"Corpus/meta.csv": b"x", "Corpus/audio/Corpus/a.wav": b"y"}))
    assert [entry.name for entry in entries] == ["meta.csv", "audio/Corpus/a.wav"]
    assert (tmp_path / "data" / "Corpus" / "meta.csv").read_bytes() == b"x"


def test_a_file_of_the_name_of_the_folder_is_a_file_in_it(unpacked, tmp_path):
    unpacked(zipped({"Corpus": b"x"}))
    assert tree(tmp_path / "data" / "Corpus") == {"Corpus": b"x"}


def test_an_existing_file_is_replaced(unpacked, tmp_path):
    for content in (b"a long first content", b"short"):
        unpacked(zipped({"x": content}))
    assert tree(tmp_path / "data" / "Corpus") == {"x": b"short"}


def test_the_bytes_written_are_reported(tmp_path):
    told = []
    (tmp_path / "archive.zip").write_bytes(zipped(FILES))
    unpack(tmp_path / "archive.zip", tmp_path / "out", ROOMY, told.append)
    assert sum(told) == sum(map(len, FILES.values()))


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "audio/../../evil",
        "audio/../evil",
        "..",
        "../Corpus2/",
        "/evil",
        "//evil",
        "..\\evil",
        "audio\\evil",
        "C:/evil",
        "C:evil",
        "line\nbreak",
        "Corpus/../../evil",
        "/",
        ".",
    ],
)
def test_a_name_that_may_leave_the_folder_is_refused(unpacked, tmp_path, name):
    with pytest.raises(SedmtlError, match=r"refused for .*does not stay in the folder"):
        unpacked(zipped({"good": b"1", name: b"2"}))
    assert_nothing_was_written(tmp_path)


def test_a_zero_byte_does_not_hide_the_end_of_a_name(unpacked, tmp_path):
    with pytest.raises(SedmtlError, match=r"refused for 'good.x00evil'"):
        unpacked(zipped({"good|evil": b"1"}).replace(b"good|evil", b"good\0evil"))
    assert_nothing_was_written(tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(unpacked, tmp_path, kind):
    member = zipfile.ZipInfo("link")
    member.create_system = 3
    member.external_attr = (kind | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good", b"1")
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(SedmtlError, match="refused for 'link': it is a link or a device"):
        unpacked(buffer.getvalue())
    assert_nothing_was_written(tmp_path)


def test_encrypted_files_are_refused(unpacked, tmp_path):
    archive = bytearray(zipped({"secret": b"1"}))
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(SedmtlError, match="refused for 'secret': it is encrypted"):
        unpacked(bytes(archive))
    assert_nothing_was_written(tmp_path)


@pytest.mark.parametrize("second", ["a/x", "a//x", "./a/x", "Corpus/a/x"])
def test_two_files_of_one_name_are_refused(unpacked, tmp_path, second):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/x", b"1")
        archive.writestr("b/x", b"2")
    content = buffer.getvalue()
    if second == "a/x":
        content = content.replace(b"b/x", b"a/x")
    else:
        content = zipped({"a/x": b"1", second: b"2"})
    with pytest.raises(SedmtlError, match="it is there twice"):
        unpacked(content)
    assert_nothing_was_written(tmp_path)


# --- Limits --------------------------------------------------------------------------------------


def test_a_zip_bomb_is_refused_before_it_is_unpacked(unpacked, tmp_path):
    bomb = zipped({"zeros": bytes(10**7)})
    assert len(bomb) * unpacking.MAX_RATIO < 10**7
    with pytest.raises(SedmtlError, match=r"at most .* bytes from .*, found 10,000,000"):
        unpacked(bomb)
    assert_nothing_was_written(tmp_path)


def test_tables_of_labels_are_not_taken_for_bombs(unpacked):
    rows = "".join(
        f"audio/park-oslo-{n}-{n % 7}-a.wav\tpark\toslo-{n % 50}\ta\n" for n in range(5000)
    )
    archive = zipped({"meta.csv": rows.encode()})
    assert len(rows) > 5 * len(archive)
    unpacked(archive)


@pytest.mark.parametrize(
    ("limits", "part"),
    [
        (Limits(n_bytes=29, n_files=3), "at most 29 bytes, found 30"),
        (Limits(n_bytes=30, n_files=2), "at most 2 files, found 3"),
        (Limits(n_bytes=30, n_files=3), None),
    ],
)
def test_the_limits_are_inclusive(unpacked, tmp_path, limits, part):
    archive = zipped(dict.fromkeys("abc", b"0123456789"))
    if part is None:
        assert len(unpacked(archive, limits)) == 3
        return
    with pytest.raises(SedmtlError, match=part):
        unpacked(archive, limits)
    assert_nothing_was_written(tmp_path)


def test_a_file_longer_than_stated_ends_at_the_stated_size(unpacked, tmp_path):
    """The limits apply to the stated sizes, so these must be binding."""
    content = RANDOM.randbytes(5000)
    archive = bytearray(zipped({"x": content}))
    central = archive.index(b"PK\x01\x02")
    archive[central + 24 : central + 28] = (100).to_bytes(4, "little")
    with pytest.raises(SedmtlError, match="not a complete ZIP file"):
        unpacked(bytes(archive))
    assert not (tmp_path / "data" / "Corpus" / "x").exists()
    assert all(len(c) <= 100 for c in tree(tmp_path / "data").values())


def test_a_file_shorter_than_stated_is_refused(unpacked, tmp_path):
    archive = bytearray(zipped({"x": b"1234567890"}))
    central = archive.index(b"PK\x01\x02")
    archive[central + 24 : central + 28] = (11).to_bytes(4, "little")
    with pytest.raises(SedmtlError, match="x has 10 of 11 bytes"):
        unpacked(bytes(archive))
    assert not (tmp_path / "data" / "Corpus" / "x").exists()


# --- Damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused(unpacked, share):
    archive = zipped(FILES)
    with pytest.raises(SedmtlError, match="not a complete ZIP file"):
        unpacked(archive[: int(share * len(archive))])


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_never_becomes_a_file(unpacked, tmp_path, compression):
    content = RANDOM.randbytes(4000)
    archive = bytearray(zipped({"before": b"1", "x": content}, compression))
    archive[archive.index(b"PK\x01\x02") - 2000] ^= 1
    with pytest.raises(SedmtlError, match="not a complete ZIP file"):
        unpacked(bytes(archive))
    assert not (tmp_path / "data" / "Corpus" / "x").exists()


def test_an_interrupted_file_is_absent(tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    (tmp_path / "archive.zip").write_bytes(zipped(FILES))
    with pytest.raises(KeyboardInterrupt):
        unpack(tmp_path / "archive.zip", tmp_path / "out", ROOMY, interrupt)
    assert not (tmp_path / "out" / "audio" / "a.wav").exists()


def test_a_file_where_a_folder_should_be_is_named(unpacked, tmp_path):
    (tmp_path / "data" / "Corpus").mkdir(parents=True)
    (tmp_path / "data" / "Corpus" / "audio").write_text("a file")
    with pytest.raises(SedmtlError, match=r"cannot write into .*audio"):
        unpacked(zipped(FILES))


def test_a_folder_where_a_file_should_be_is_named(unpacked, tmp_path):
    (tmp_path / "data" / "Corpus" / "meta.csv" / "x").mkdir(parents=True)
    with pytest.raises(SedmtlError, match=r"cannot unpack .*archive.zip.*meta.csv"):
        unpacked(zipped(FILES))


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(SedmtlError, match=r"cannot unpack .*gone.zip: No such file"):
        unpack(tmp_path / "gone.zip", tmp_path / "out", ROOMY, lambda _: None)
