"""Disk space is announced before it is taken, and refused if it is too small."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from sedmtl.runtime.disk_space import announce
from sedmtl.runtime.errors import SedmtlError


@pytest.fixture
def asked(monkeypatch):
    """Pretend that 1 GB is free; collects the paths that were checked."""
    paths = []

    def disk_usage(path):
        paths.append(path)
        return SimpleNamespace(free=10**9)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    return paths


def test_items_bytes_and_free_space_are_printed(asked, tmp_path, capsys):
    announce("6,000 mixtures", 10**9, tmp_path)
    expected = f"6,000 mixtures: 1.0 GB in {tmp_path} (1.0 GB free)\n"
    assert capsys.readouterr().err == expected
    assert asked == [tmp_path]


@pytest.mark.usefixtures("asked")
def test_a_byte_too_many_is_refused_with_the_figures(tmp_path, capsys):
    with pytest.raises(SedmtlError, match=r"6,000 mixtures need 1\.0 GB in .* only 1\.0 GB are"):
        announce("6,000 mixtures", 10**9 + 1, tmp_path)
    assert capsys.readouterr().err == ""


def test_a_missing_folder_has_the_disk_of_its_nearest_parent(asked, tmp_path):
    announce("one store", 1, tmp_path / "work" / "mixtures")
    assert asked == [tmp_path]
    assert not (tmp_path / "work").exists()


def test_a_relative_folder_is_looked_up_from_here(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    announce("one store", 1, (tmp_path / "work").relative_to(tmp_path))
    assert asked == [tmp_path]
