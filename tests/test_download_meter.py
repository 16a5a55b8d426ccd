"""What people see of downloads: how far each is, how far all are, how long it takes yet."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sedmtl.data.download.meter import Meter
from sedmtl.runtime import progress
from sedmtl.runtime.progress import size_text


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


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


def test_each_file_and_all_together_are_told_with_the_time_left():
    clock = Clock()
    meter = Meter(n_files=3, total=10_000_000, done=0, clock=clock)
    meter.begin("a.zip", 4_000_000, 0)
    meter.begin("b.zip", 5_000_000, 0)
    meter.advance("a.zip", 1_500_000)
    meter.advance("b.zip", 500_000)
    clock.now += 4
    assert meter.lines() == [
        "0 of 3 archives done, 2.0 MB of 10.0 MB, 0.5 MB/s, 16 s left",
        "  a.zip: 1.5 MB of 4.0 MB",
        "  b.zip: 0.5 MB of 5.0 MB",
    ]


def test_resumed_work_counts_all_and_times_only_its_own():
    clock = Clock()
    meter = Meter(n_files=1, total=10_000_000, done=8_000_000, clock=clock)
    meter.begin("a.zip", 10_000_000, 8_000_000)
    meter.advance("a.zip", 1_000_000)
    clock.now += 2
    assert meter.lines() == [
        "0 of 1 archives done, 9.0 MB of 10.0 MB, 0.5 MB/s, 2 s left",
        "  a.zip: 9.0 MB of 10.0 MB",
    ]


def test_bytes_that_were_thrown_away_are_taken_back():
    meter = Meter(n_files=1, total=10_000_000, done=0, clock=Clock())
    meter.begin("a.zip", 10_000_000, 0)
    meter.advance("a.zip", 4_000_000)
    meter.advance("a.zip", -4_000_000)
    assert meter.lines()[0] == "0 of 1 archives done, 0.0 kB of 10.0 MB"


def test_other_work_on_a_file_is_named_and_an_ended_file_leaves():
    meter = Meter(n_files=2, total=0, done=0)
    meter.begin("a.zip", 10, 0)
    meter.enter("a.zip", "unpacking")
    assert meter.lines() == ["0 of 2 archives done", "  a.zip: unpacking"]
    meter.end("a.zip")
    assert meter.lines() == ["1 of 2 archives done"]


def test_a_terminal_gets_lines_that_stay_in_place(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=100))
    meter = Meter(n_files=2, total=0, done=0)
    with meter.shown() as show:
        show()
    assert "0 of 2 archives done" in screen.getvalue()


def test_a_log_file_gets_megabytes_and_no_more_than_there_were(monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_S", -1.0)
    meter = Meter(n_files=1, total=20_000_000, done=10_000_000)
    meter.begin("a.zip", 20_000_000, 10_000_000)
    with meter.shown() as show:
        meter.advance("a.zip", 5_500_000)
        show()
        show()
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("downloading, MB: 15 of 20, ")
