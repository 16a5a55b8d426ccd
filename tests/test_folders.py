"""Every command that would read a folder names it if it is unreadable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import invoke, write_noise

from sedmtl.runtime import folders
from sedmtl.runtime.errors import SedmtlError, explained

RUN = "2apae_snr20_fold1_alpha0.001_seed0"


@pytest.fixture
def lock(monkeypatch):
    """Make a folder unreadable, as mode 000 does for everyone but root (tests may run as root)."""

    def deny(locked: Path) -> None:
        def guarded(call, *, to_itself):
            def ask(path=".", *arguments, **options):
                asked = Path(os.fsdecode(path)) if not isinstance(path, int) else Path()
                if locked in asked.parents or (to_itself and asked == locked):
                    raise PermissionError(13, "Permission denied", str(path))
                return call(path, *arguments, **options)

            return ask

        for name in ("scandir", "listdir"):
            monkeypatch.setattr(os, name, guarded(getattr(os, name), to_itself=True))
        monkeypatch.setattr(os, "stat", guarded(os.stat, to_itself=False))

    return deny


def test_a_tree_is_its_files_without_hidden_ones_and_its_unreadable_folders(tmp_path, lock):
    for name in ("b/2.wav", "a.wav", ".hidden/x.wav", "locked/y.wav", ".locked/z.wav", "b/.c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    (tmp_path / "dangling.wav").symlink_to("nowhere")
    lock(tmp_path / "locked")
    files, unreadable = folders.tree(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in files] == [
        "a.wav", "b/2.wav", "dangling.wav"
    ]  # fmt: skip
    assert unreadable == [tmp_path / "locked"]


def test_no_folder_has_no_entries_and_a_locked_one_is_an_error(tmp_path, lock):
    (tmp_path / "file").touch()
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "file").touch()
    assert folders.entries(tmp_path / "none") == folders.entries(tmp_path / "file") == []
    assert folders.entries(tmp_path) == [tmp_path / "file", tmp_path / "locked"]
    assert folders.is_file(tmp_path / "file")
    assert not folders.is_file(tmp_path / "file" / "below")
    lock(tmp_path / "locked")
    for ask in (folders.entries, lambda folder: folders.is_file(folder / "file")):
        with pytest.raises(
            SedmtlError, match=r"folder .*/locked: Permission denied: give yourself"
        ):
            ask(tmp_path / "locked")


def test_predict_lists_an_unreadable_folder_and_processes_the_rest(
    trained, tmp_path, lock, one_sentence
):
    sounds = tmp_path / "in"
    for name in ("a.wav", "locked/b.wav", "open/c.wav"):
        write_noise(sounds / name, 0, 1.0)
    lock(sounds / "locked")
    result = trained.run("predict", sounds, "--out", tmp_path / "out", "--tags")
    one_sentence(result, "1 of 3 recordings cannot be used")
    assert f"cannot read the folder {sounds / 'locked'}: Permission denied" in result.stderr
    one_sentence(
        trained.run("predict", sounds / "locked", "--out", tmp_path / "out"), "locked: Perm"
    )


@pytest.mark.parametrize("locked", ["events/tone_300", "events/tone_300/more", "scenes", "events"])
def test_mix_does_not_skip_unreadable_folders(project, lock, one_sentence, locked):
    write_noise(project.folder / "events" / "tone_300" / "more" / "x.wav", 0, 1.0)
    lock(project.folder / locked)
    one_sentence(project.run("mix"), f"cannot read the folder {project.folder / locked}")
    assert not (project.work / "mixtures" / "plan.yaml").exists()


@pytest.mark.parametrize("command", ["eval", "report"])
@pytest.mark.parametrize("locked", ["runs", f"runs/{RUN}"])
def test_an_unreadable_run_is_not_called_missing(trained, lock, one_sentence, command, locked):
    lock(trained.work / locked)
    one_sentence(trained.run(command), f"cannot read the folder {trained.work / locked}")


@pytest.mark.parametrize("locked", ["mixtures", "features", f"runs/{RUN}"])
def test_check_does_not_skip_unreadable_folders(trained, lock, one_sentence, locked):
    lock(trained.work / locked)
    result = invoke(["check", str(trained.work)])
    one_sentence(result, "1 unreadable of 3: see above")
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("unreadable  ")]
    assert line.startswith(f"unreadable  {locked}: cannot read the folder ")


def test_an_error_of_a_library_without_a_number_keeps_its_own_words():
    words = r"^cannot write v\.h5: no room$"
    with pytest.raises(SedmtlError, match=words), explained("cannot write v.h5"):
        raise OSError("no room")
