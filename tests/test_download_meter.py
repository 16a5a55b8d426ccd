"""Progress of downloads: of each archive and of all, in a terminal and in a log file."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from sedmtl.data.download.meter import Meter
from sedmtl.runtime import progress
from sedmtl.runtime.progress import size_text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0.0 kB"),
        (1, "0.0 kB"),
        (11_299, "11.3 kB"),
        (156_863, "0.2 MB"),
        (99_999_999, "100.0 MB"),
        (100_000_000, "0.1 GB"),
        (35_622_537_482, "35.6 GB"),
    ],
)
def test_sizes_read_as_people_say_them(n_bytes, text):
    assert size_text(n_bytes) == text


@pytest.fixture
def screen(monkeypatch):
    """A terminal's content."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, color_system=None, width=120)
    monkeypatch.setattr(progress, "console", console)
    return written


def last_lines(screen, n):
    text = re.sub(r"\x1b\[[?\d]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n")
    return [line.strip() for line in text.splitlines() if line.strip()][-n:]


def test_a_terminal_shows_each_archive_and_all_together(screen):
    meter = Meter(n_archives=3, total=10_000_000, done=0)
    with meter.shown():
        meter.begin("a.zip", 4_000_000, 0)
        meter.begin("b.zip", 5_000_000, 0)
        meter.advance("a.zip", 1_500_000)
        meter.advance("b.zip", 500_000)
    every, a, b = last_lines(screen, 3)
    assert every.startswith("0 of 3 archives done")
    assert "2.0/10.0 MB" in every
    assert a.startswith("a.zip")
    assert "1.5/4.0 MB" in a
    assert "0.5/5.0 MB" in b


def test_resumed_work_counts_all_and_discarded_bytes_are_subtracted(screen):
    meter = Meter(n_archives=1, total=10_000_000, done=8_000_000)
    with meter.shown():
        meter.begin("a.zip", 10_000_000, 8_000_000)
        meter.advance("a.zip", 1_000_000)
        meter.advance("a.zip", -7_000_000)
    assert all("2.0/10.0 MB" in line for line in last_lines(screen, 2))


def test_other_work_on_an_archive_is_named_and_an_ended_archive_leaves(screen):
    meter = Meter(n_archives=2, total=0, done=0)
    with meter.shown():
        meter.begin("a.zip", 10, 0)
        meter.enter("a.zip", "unpacking")
        meter.begin("b.zip", 10, 0)
        meter.end("b.zip")
    every, a = last_lines(screen, 2)
    assert every.startswith("1 of 2 archives done")
    assert a.startswith("a.zip")
    assert a.endswith("unpacking")


def test_a_log_file_gets_megabytes_and_no_more_than_there_were(monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_S", -1.0)
    meter = Meter(n_archives=1, total=20_000_000, done=10_000_000)
    meter.begin("a.zip", 20_000_000, 10_000_000)
    with meter.shown():
        meter.advance("a.zip", 5_500_000)
        meter.advance("a.zip", 0)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("downloading, MB: 15 of 20, ")
