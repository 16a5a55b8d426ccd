"""Progress of long work on stderr: a bar in a terminal, a line per tenth in a log file.

Results go to stdout instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sedmtl.runtime.text import printable

console = Console(stderr=True, highlight=False, soft_wrap=True)

Advance = Callable[[int], None]

QUIET_S = 5.0
"""Shortest interval between two progress lines in a log file."""

CALIBRATION_S = 2.0
"""Time to measure before estimating the remainder: before that, the first items dominate."""

WORTH_TELLING_S = 10.0
"""Shorter remainders are not worth showing."""


def plain(text: str) -> Text:
    """Text to be shown literally: in a plain string, rich interprets markup and emoji names."""
    return Text(printable(text))


def say(text: str) -> None:
    """Print one line for the user, above the bar if there is one.

    A failing stderr, for example a log file on a full disk, does not stop the work.
    """
    try:
        console.print(plain(text))
    except OSError:
        console._buffer.clear()


@contextmanager
def silence() -> Iterator[None]:
    """Print nothing while the block runs."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


@contextmanager
def progress(
    what: str, total: int, done: int = 0, *, unit: str = "", log: bool = True
) -> Iterator[Advance]:
    """Show progress while the block runs.

    Args:
        what: Short description.
        total: Number of units.
        done: Units that an earlier, interrupted attempt finished.
        unit: Name of the unit; empty if `what` already says it.
        log: Whether to write progress lines to a log file; False if the block writes its own.

    Yields:
        A function to call with the number of units just finished.
    """
    meter = _Meter(what, total, done, unit, lines=log and not console.is_terminal)
    if not console.is_terminal:
        yield meter.advance
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
               f"{unit} ·".strip(), TimeElapsedColumn(), "elapsed,", TimeRemainingColumn(),
               "left")  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(printable(what), total=total, completed=done)

        def advance(n: int) -> None:
            meter.advance(n)
            bar.advance(task, n)

        yield advance


@contextmanager
def board() -> Iterator[Callable[[Sequence[str]], None]]:
    """Lines that are updated in place in a terminal; a log file gets none.

    Yields:
        A function to call with the lines, each cut to the width of the terminal.
    """
    if not console.is_terminal:
        yield lambda _: None
        return
    with Live(console=console) as live:

        def update(lines: Sequence[str]) -> None:
            text = "\n".join(map(printable, lines))
            live.update(Text(text, no_wrap=True, overflow="ellipsis"))

        yield update


class _Meter:
    """Counts finished units and prints how long the remainder will take."""

    def __init__(self, what: str, total: int, done: int, unit: str, *, lines: bool) -> None:
        self._what, self._total, self._lines = what, total, lines
        self._unit = f" {unit}" if unit else ""
        self._before = self._done = done
        self._started = self._printed = time.monotonic()
        self._first, self._first_at, self._is_estimated = 0, 0.0, False
        self._tenth = self._tenths()

    def advance(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        self._estimate(now)
        if self._lines and self._tenths() > self._tenth and now - self._printed > QUIET_S:
            self._tenth, self._printed = self._tenths(), now
            rate = (self._done - self._before) / (now - self._started)
            left = duration((self._total - self._done) / rate)
            say(f"{self._what}: {self._done} of {self._total}{self._unit}, {left} left")

    def _estimate(self, now: float) -> None:
        """Estimate once how long the work takes, after the first few units.

        The first unit is excluded: it includes imports, warm-up and the start of workers.
        """
        n_done = self._done - self._before
        if not self._first:
            self._first, self._first_at = n_done, now
        elapsed_s, n_timed = now - self._first_at, n_done - self._first
        if self._is_estimated or elapsed_s < CALIBRATION_S or not n_timed:
            return
        self._is_estimated = True
        left_s = elapsed_s / n_timed * (self._total - self._done)
        if left_s > WORTH_TELLING_S:
            n_to_do, rate = self._total - self._before, f"{n_timed / elapsed_s:.3g} per second"
            counted = f"{n_to_do:,}{self._unit}"
            say(f"{self._what}: {counted} at {rate}, about {duration(left_s)}")

    def _tenths(self) -> int:
        return 10 * self._done // max(self._total, 1)


def duration(seconds: float) -> str:
    """A readable duration: `45 s`, `3 min 20 s`, `2 h 05 min`, `5,600 h`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 6000:
        return f"{minutes / 60:,.0f} h"
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size_text(n_bytes: float) -> str:
    """A readable file size: `4.5 GB`, `35.6 MB`; 1 GB is 10⁹ bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= factor / 10:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes / 1e3:.1f} kB"
