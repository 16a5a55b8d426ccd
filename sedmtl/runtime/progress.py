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

console = Console(stderr=True, highlight=False, soft_wrap=True)

Advance = Callable[[int], None]

QUIET_S = 5.0
"""Shortest interval between two progress lines in a log file."""

CALIBRATION_S = 2.0
"""Time to measure before estimating the rest: in less, the first items dominate."""

WORTH_TELLING_S = 10.0
"""Shorter remainders are not worth showing."""


def say(text: str) -> None:
    """Print one line for the user, above the bar if there is one."""
    console.print(text, markup=False)


@contextmanager
def progress(what: str, total: int, done: int = 0, *, log: bool = True) -> Iterator[Advance]:
    """Show progress while the block runs.

    Args:
        what: Short description.
        total: Number of units.
        done: Units that an earlier, interrupted attempt finished.
        log: Whether to write progress lines to a log file; False if the block writes its own.

    Yields:
        A function to call with the number of units just finished.
    """
    estimate = _estimate(what, total - done)
    if not console.is_terminal:
        tell = _lines(what, total, done) if log else lambda _: None
        yield _both(estimate, tell)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("·"),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield _both(estimate, lambda n: bar.advance(task, n))


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
        yield lambda lines: live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))


def _both(one: Advance, other: Advance) -> Advance:
    def advance(n: int) -> None:
        one(n)
        other(n)

    return advance


def _estimate(what: str, n_to_do: int) -> Advance:
    """Estimate once how long the work takes, after the first few items.

    The first item does not count: it includes imports, warm-up and the start of workers.
    """
    done, first, began, told = 0, 0, 0.0, False

    def advance(n: int) -> None:
        nonlocal done, first, began, told
        done += n
        if not first:
            first, began = done, time.monotonic()
        elapsed_s = time.monotonic() - began
        if told or elapsed_s < CALIBRATION_S or done == first:
            return
        told = True
        left_s = elapsed_s / (done - first) * (n_to_do - done)
        if left_s > WORTH_TELLING_S:
            rate = f"{(done - first) / elapsed_s:.3g} per second"
            say(f"{what}: {n_to_do:,} at {rate}, about {duration(left_s)}")

    return advance


def _lines(what: str, total: int, done: int) -> Advance:
    started, first, tenth = time.monotonic(), done, 10 * done // max(total, 1)
    spoke = started

    def advance(n: int) -> None:
        nonlocal done, tenth, spoke
        done += n
        now = time.monotonic()
        if 10 * done // max(total, 1) > tenth and now - spoke > QUIET_S:
            tenth, spoke = 10 * done // total, now
            rate = (done - first) / (now - started)
            say(f"{what}: {done} of {total}, {duration((total - done) / rate)} left")

    return advance


def duration(seconds: float) -> str:
    """A readable duration: `45 s`, `3 min 20 s`, `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size_text(n_bytes: float) -> str:
    """A readable file size: `4.5 GB`, `35.6 MB`; 1 GB is 10⁹ bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= factor / 10:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes / 1e3:.1f} kB"
