"""Progress goes to stderr: a bar in terminals, occasional lines in log files."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from sedmtl.runtime import progress


class Clock:
    """A clock that tests set."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def advance(clock, steps, total, done=0):
    with progress.progress("mixing", total, done) as step:
        for n, seconds in steps:
            clock.now += seconds
            step(n)


def test_messages_go_to_stderr_word_for_word(capsys):
    long = " ".join(["word"] * 60)
    progress.say(f"[red]not markup[/red] /a/[b].wav {long}")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"[red]not markup[/red] /a/[b].wav {long}\n"


def test_a_log_file_gets_a_line_per_tenth_with_the_time_left(clock, capsys):
    advance(clock, [(1, 1.0)] * 100, total=100)
    foretold, *lines = capsys.readouterr().err.splitlines()
    assert foretold == "mixing: 100 at 1 per second, about 1 min 37 s"
    assert len(lines) == 10
    assert lines[0] == "mixing: 10 of 100, 1 min 30 s left"
    assert lines[-1] == "mixing: 100 of 100, 0 s left"


def test_the_unit_follows_the_numbers(clock, capsys):
    with progress.progress("training", 100, unit="clips") as step:
        for _ in range(100):
            clock.now += 1.0
            step(1)
    foretold, first, *_ = capsys.readouterr().err.splitlines()
    assert foretold == "training: 100 clips at 1 per second, about 1 min 37 s"
    assert first == "training: 10 of 100 clips, 1 min 30 s left"


def test_quick_work_prints_nothing(clock, capsys):
    advance(clock, [(1, 0.01)] * 100, total=100)
    assert capsys.readouterr().err == ""


def test_no_two_lines_are_closer_than_the_quiet_time(clock, capsys):
    advance(clock, [(10, progress.QUIET_S * 0.6)] * 10, total=100)
    _, *lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5


def test_resumed_work_counts_all_and_times_only_its_own(clock, capsys):
    advance(clock, [(10, 10.0)], total=100, done=80)
    assert capsys.readouterr().err == "mixing: 90 of 100, 10 s left\n"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_duration_is_estimated_once_from_the_first_items_of_this_attempt(
    clock, monkeypatch, is_terminal
):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=is_terminal, width=100, highlight=False)
    monkeypatch.setattr(progress, "console", console)
    with progress.progress("mixing", 2_000, 500) as step:
        clock.now += 60  # a slow start says nothing about the rest
        for _ in range(8):
            step(10)
            clock.now += progress.CALIBRATION_S / 4
    lines = screen.getvalue().splitlines()
    told = [line for line in lines if " at 20 per second, about 1 min 12 s" in line]
    assert len(told) == 1


def test_a_short_remainder_is_not_shown(clock, capsys):
    advance(clock, [(45, progress.CALIBRATION_S)] * 2, total=100)
    assert "per second" not in capsys.readouterr().err


def test_no_work_prints_nothing(clock, capsys):
    advance(clock, [], total=0)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_that_ends_full(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "console", console)
    with progress.progress("log-mel", 5, done=2) as step:
        step(3)
    assert "log-mel" in screen.getvalue()
    assert "5/5" in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert progress.duration(seconds) == text


def test_a_block_that_writes_its_own_lines_gets_only_the_forecast_in_a_log_file(clock, capsys):
    with progress.progress("training", 10, log=False) as step:
        for _ in range(10):
            clock.now += 20
            step(1)
    assert capsys.readouterr().err == "training: 10 at 0.05 per second, about 2 min 40 s\n"


def test_a_board_stays_in_place_in_a_terminal_and_out_of_log_files(monkeypatch):
    for is_terminal in (True, False):
        written = io.StringIO()
        console = Console(file=written, force_terminal=is_terminal, width=20)
        monkeypatch.setattr(progress, "console", console)
        with progress.board() as draw:
            draw(["0 of 2 runs done", "  fold 1: epoch 1/50 and all that follows"])
            draw(["1 of 2 runs done"])
        if is_terminal:
            assert "1 of 2 runs done" in written.getvalue()
        else:
            assert written.getvalue() == ""
