"""How far several downloads are: lines for people, of each file and of all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sedmtl.runtime import progress
from sedmtl.runtime.progress import size_text


@dataclass
class _File:
    n_bytes: int
    done: int
    phase: str = ""


class Meter:
    """Counts what comes; may be used by several threads.

    Args:
        n_files: How many files there will be.
        total: Bytes that they have together.
        done: Bytes of them that are here already.
        clock: Seconds.
    """

    def __init__(
        self, n_files: int, total: int, done: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._n_files = n_files
        self._total = total
        self._first = self._done = done
        self._clock = clock
        self._started = clock()
        self._active: dict[str, _File] = {}
        self._n_ended = 0
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        """Bytes that are here."""
        return self._done

    def begin(self, name: str, n_bytes: int, done: int) -> None:
        """A file is being fetched, of which so many bytes are here already."""
        with self._lock:
            self._active[name] = _File(n_bytes, done)

    def advance(self, name: str, n_bytes: int) -> None:
        """So many bytes of a file have come; fewer than none if some were thrown away."""
        with self._lock:
            self._active[name].done += n_bytes
            self._done += n_bytes

    def enter(self, name: str, phase: str) -> None:
        """Something else than fetching is done with a file: `unpacking`; nothing: fetching."""
        with self._lock:
            self._active[name].phase = phase

    def end(self, name: str) -> None:
        """Nothing more is done with a file."""
        with self._lock:
            del self._active[name]
            self._n_ended += 1

    def lines(self) -> list[str]:
        """A line of everything, and below it one of each file in work."""
        with self._lock:
            text = f"{self._n_ended} of {self._n_files} archives done"
            if self._total:
                text += f", {size_text(self._done)} of {size_text(self._total)}{self._left()}"
            return [text, *(f"  {name}: {_file(file)}" for name, file in self._active.items())]

    def _left(self) -> str:
        rate = (self._done - self._first) / max(self._clock() - self._started, 1e-9)
        left = self._total - self._done
        if rate <= 0 or left <= 0:
            return ""
        return f", {size_text(rate)}/s, {progress.duration(left / rate)} left"

    @contextmanager
    def shown(self) -> Iterator[Callable[[], None]]:
        """Show it while the block runs: lines that stay in place, or a few in a log file.

        Yields:
            A function that shows how it is now.
        """
        if progress.console.is_terminal:
            with progress.board() as draw:
                yield lambda: draw(self.lines())
            return
        logged = self._first // 10**6
        with progress.progress("downloading, MB", self._total // 10**6, logged) as advance:

            def log() -> None:
                nonlocal logged
                now = self._done // 10**6
                advance(now - logged)
                logged = now

            yield log


def _file(file: _File) -> str:
    return file.phase or f"{size_text(file.done)} of {size_text(file.n_bytes)}"
