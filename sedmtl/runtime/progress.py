"""Progress of long work on stderr: a bar in a terminal, a line at each tenth in a log file.

Results never go through here; they belong on stdout.
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
"""A log file gets no second line of progress sooner than this."""

CALIBRATION_S = 2.0
"""After which it is told how long the rest takes; less than this, and the first items decide."""

WORTH_TELLING_S = 10.0
"""A rest that is shorter is over before it is read."""


def say(text: str) -> None:
    """One line for the user, above the bar if there is one."""
    console.print(text, markup=False)


@contextmanager
def progress(what: str, total: int, done: int = 0, *, log: bool = True) -> Iterator[Advance]:
    """Show progress while the block runs.

    Args:
        what: Short description.
        total: Units in all.
        done: Units that an earlier, interrupted attempt finished.
        log: Whether a log file gets lines, too; not if the block writes its own.

    Yields:
        A function to call with the number of units just finished.
    """
    foretell = _foretell(what, total - done)
    if not console.is_terminal:
        tell = _lines(what, total, done) if log else lambda _: None
        yield _both(foretell, tell)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("·"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield _both(foretell, lambda n: bar.advance(task, n))


@contextmanager
def board() -> Iterator[Callable[[Sequence[str]], None]]:
    """Lines that stay in place in a terminal and are rewritten there; a log file gets none.

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


def _foretell(what: str, n_to_do: int) -> Advance:
    """Say once how long the work takes, as soon as some items have shown it.

    The first does not count: before it come imports, first calls and workers that have to start.
    """
    done, first, began, told = 0, 0, 0.0, False

    def advance(n: int) -> None:
        nonlocal done, first, began, told
        done += n
        if not first:
            first, began = done, time.monotonic()
        gone_s = time.monotonic() - began
        if told or gone_s < CALIBRATION_S or done == first:
            return
        told = True
        left_s = gone_s / (done - first) * (n_to_do - done)
        if left_s > WORTH_TELLING_S:
            rate = f"{(done - first) / gone_s:.3g} a second"
            say(f"{what}: {n_to_do:,} to do at {rate}, about {duration(left_s)}")

    return advance


def _lines(what: str, total: int, done: int) -> Advance:
    started, first, tenth = time.monotonic(), done, 10 * done // max(total, 1)
    spoke = started

    def advance(n: int) -> None:
        nonlocal done, tenth, spoke
        done += n
        now = time.monotonic()
        # Not for work that is over before anybody asks.
        if 10 * done // max(total, 1) > tenth and now - spoke > QUIET_S:
            tenth, spoke = 10 * done // total, now
            rate = (done - first) / (now - started)
            say(f"{what}: {done} of {total}, {duration((total - done) / rate)} left")

    return advance


def duration(seconds: float) -> str:
    """A length of time as people say it: `45 s`, `3 min 20 s`, `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size_text(n_bytes: float) -> str:
    """A number of bytes as people read it: `4.5 GB`, `35.6 MB`; 1 GB is 10⁹ bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= factor / 10:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes / 1e3:.1f} kB"
