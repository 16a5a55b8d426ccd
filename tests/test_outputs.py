"""Files that the user wrote or edited are never overwritten or deleted; our own are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import visible, write_tone
from filelock import lock_descriptor

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import NAME, Outputs, write_output
from sedmtl.runtime.regular import own_descriptor


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "day 1" / "a \udcff\n.txt"


@pytest.fixture
def outputs(tmp_path):
    """The record of outputs, as a new process reads it."""
    return lambda **how: Outputs(tmp_path / "out", **how)


def test_our_own_files_are_replaced_and_removed(path, outputs):
    for text in ("one", "two", "one"):
        outputs().write(path, text)
        assert path.read_text() == text
    assert outputs().remove(path)
    assert not path.exists()
    assert outputs().remove(path)  # also if there is no file


def test_the_users_files_are_refused_by_name_and_stay(path, outputs):
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(SedmtlError, match=r"was not written by sedmtl .*: move it away$"):
        outputs().write(path, "ours")
    with pytest.raises(SedmtlError, match=r"or overwrite it with --force$"):
        outputs(force=False).write(path, "ours")
    assert not outputs().remove(path)
    assert path.read_text() == "mine"
    assert not (path.parents[1] / NAME).exists()


def test_edited_files_count_as_the_users(path, outputs):
    outputs().write(path, "ours")
    path.write_text("ours, edited")
    with pytest.raises(SedmtlError, match="has been changed since"):
        outputs().check([path])
    outputs(force=True).write(path, "anew")
    assert path.read_text() == "anew"
    outputs().check([path])


def test_all_obstacles_are_counted(tmp_path, outputs):
    paths = [tmp_path / "out" / name for name in "abc"]
    outputs().write(paths[1], "ours")
    for each in (paths[0], paths[2]):
        each.write_text("mine")
    with pytest.raises(SedmtlError, match=r"/a \(and 1 more file\) was not"):
        outputs().check(paths)


def test_the_same_content_of_another_name_or_folder_is_not_ours(tmp_path, outputs):
    for name in ("out/a", "out/b", "a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("ours")
    (tmp_path / "out" / "a").unlink()
    outputs().write(tmp_path / "out" / "a", "ours")
    with pytest.raises(SedmtlError):
        outputs().write(tmp_path / "out" / "b", "ours")
    with pytest.raises(SedmtlError):
        write_output(tmp_path / "a", "ours", force=False)


@pytest.mark.parametrize("folder", ["out", "out/a", "out/a/b"])
@pytest.mark.parametrize("again", ["out", "out/a", "out/a/b"])
def test_outputs_are_ours_from_whatever_folder_they_are_seen(tmp_path, folder, again):
    path = tmp_path / "out" / "a" / "b" / "c.txt"
    Outputs(tmp_path / folder).write(path, "ours")
    Outputs(tmp_path / again).write(path, "anew")
    Outputs(tmp_path / folder).check([path])
    path.write_text("edited")
    assert not Outputs(tmp_path / again).is_free(path)


def test_a_named_output_may_be_overwritten_and_stays_with_its_recording(path, outputs):
    outputs(of="a").write(path, "ours")
    outputs().write(path, "named")
    assert outputs(of="a").is_free(path)
    assert not outputs(of="b").is_free(path)


def test_outputs_are_ours_wherever_their_folder_is_moved(path, outputs, tmp_path):
    outputs().write(path, "ours")
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    Outputs(moved).check([moved / path.relative_to(tmp_path / "out")])


@pytest.mark.parametrize("n_kept", range(0, 90, 8))
def test_after_a_kill_at_any_moment_the_command_can_continue(path, outputs, tmp_path, n_kept):
    """After the record and before its file, or within the line of the record."""
    outputs().write(path, "one")
    record = tmp_path / "out" / NAME
    before = record.read_bytes()
    outputs().write(path, "two")
    record.write_bytes(record.read_bytes()[: len(before) + n_kept])
    path.write_text("one")
    outputs().write(path, "three")
    outputs().write(path, "four")
    assert len(record.read_bytes().splitlines()) == 3 + bool(n_kept)


def test_the_record_grows_by_new_contents_only(path, outputs, tmp_path):
    for text in ("one", "two") * 3:
        outputs().write(path, text)
    assert len((tmp_path / "out" / NAME).read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe", b"[]", b"{}", b"1", b"[" * 100_000, b'{"name": 1, "sha256": [], "of": {}}'],
)
def test_a_record_that_is_damaged_claims_nothing_and_loses_no_other_line(path, outputs, line):
    outputs().write(path, "ours")
    record = path.parents[1] / NAME
    record.write_bytes(line + b"\n" + record.read_bytes() + line)
    outputs().write(path, "anew")
    assert json.loads(record.read_bytes().splitlines()[-1])["sha256"]
    path.write_text("mine")
    assert not outputs().is_free(path)


def test_a_folder_a_link_and_a_pipe_in_place_of_an_output_are_not_ours(tmp_path, outputs):
    target = tmp_path / "target"
    for number, plant in enumerate((lambda at: at.mkdir(), lambda at: at.symlink_to(target))):
        at = tmp_path / "out" / str(number)
        outputs().write(at, "ours")
        at.unlink()
        plant(at)
        target.write_text("ours")
        assert not outputs().remove(at)
        with pytest.raises(SedmtlError, match=r"it is a folder|was not written by sedmtl"):
            outputs().write(at, "anew")
        with pytest.raises(SedmtlError, match="cannot write"):
            outputs(force=True).write(at, "anew")
        assert target.read_text() == "ours"


def test_standard_output_redirected_to_a_file_gets_the_content_at_its_position(tmp_path):
    """Reopened, the file would be overwritten from its beginning."""
    with (tmp_path / "out.txt").open("w+b") as file:
        file.write(b"before ")
        file.flush()
        write_output(Path(f"/dev/fd/{file.fileno()}"), "text", force=False)
        file.write(b" after")
        file.seek(0)
        assert file.read() == b"before text after"
    assert own_descriptor(Path("/dev/stdout")) == 1
    assert own_descriptor(tmp_path / "stdout") is None


def test_a_pipe_with_a_reader_gets_the_content(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SedmtlError, match=r"cannot write .*pipe: nobody reads this pipe"):
        write_output(pipe, "text", force=False)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_output(pipe, "text", force=False)
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize(
    "plant", [os.mkfifo, lambda at: at.symlink_to("target"), lambda at: at.mkdir()]
)
def test_anything_in_place_of_the_record_is_named(tmp_path, path, outputs, plant):
    (tmp_path / "out").mkdir()
    plant(tmp_path / "out" / NAME)
    with pytest.raises(SedmtlError, match=r"cannot write .*\.sedmtl\.files: "):
        outputs().write(path, "ours")
    assert visible(tmp_path) == set()


def test_a_record_locked_forever_is_not_waited_for(outputs, tmp_path, monkeypatch):
    monkeypatch.setattr("sedmtl.runtime.atomic.PATIENCE_S", 0)
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / NAME).open("ab") as held:
        lock_descriptor(held.fileno())
        with pytest.raises(SedmtlError, match=r"cannot lock .*another process"), outputs().alone():
            pytest.fail("two processes chose names at once")


def test_the_first_recording_gets_the_name(tmp_path, outputs):
    first, second = outputs(of="a"), outputs(of="b")
    with first.alone():
        first.make_folder(tmp_path / "out" / "clip")
    with second.alone():  # which had not read the record before
        assert not second.is_free(tmp_path / "out" / "clip")
    assert outputs(of="a").is_free(tmp_path / "out" / "clip")


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Commands that write one file, up to the path of that file."""
    sound = write_tone(tmp_path_factory.mktemp("sound") / "a.wav", 300, 1.0)
    return {
        "eval": ("eval", "--json"),
        "report": ("report", "--out"),
        "visualize": ("visualize", sound, "--out"),
    }


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["eval", "report", "visualize"])
def test_a_recording_that_is_named_as_the_output_stays(
    trained, tmp_path, commands, name, one_sentence
):
    path = tmp_path / "recording.png"
    path.write_bytes(b"a recording")
    words = (*commands[name], path)
    one_sentence(trained.run(*words), "recording.png was not written by sedmtl", "--force")
    assert path.read_bytes() == b"a recording"
    for option in (["--force"], []):
        result = trained.run(*words, *option)
        assert result.exit_code == 0, result.output
        assert path.read_bytes() != b"a recording"


@pytest.mark.slow
def test_a_file_that_is_named_as_the_graph_stays(trained, tmp_path, one_sentence):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"mine")
    (run,) = (trained.work / "runs").iterdir()
    one_sentence(trained.run("export", run.name, "--out", path), "model.onnx", "--force")
    assert path.read_bytes() == b"mine"


def test_anything_in_place_of_a_record_in_a_parent_folder_is_ignored(path, outputs, tmp_path):
    outputs().write(path, "ours")
    os.mkfifo(tmp_path / NAME)
    outputs().write(path, "anew")
    assert path.read_text() == "anew"
