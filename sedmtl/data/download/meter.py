"""Progress of several downloads at once, on stderr."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sedmtl.runtime import progress
from sedmtl.runtime.text import printable


class Meter:
    """Bars in a terminal, one for everything and one per archive; a few lines in a log file.

    Threads may share it. `total` is the number of bytes to download, `done` how many of them an
    earlier attempt downloaded.
    """

    def __init__(self, n_archives: int, total: int, done: int) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[phase]}", markup=False),
        )
        self._bars = Progress(*columns, console=progress.console)
        self._all = self._bars.add_task("", total=total, completed=done, phase="")
        self._archives: dict[str, TaskID] = {}
        self._n_archives, self._n_ended = n_archives, 0
        self._total, self._done, self._logged = total, done, done // 10**6
        self._log: progress.Advance = lambda _: None
        self._lock = threading.Lock()
        self._count()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the progress while the block runs."""
        if progress.console.is_terminal:
            with self._bars:
                yield
            return
        what = "downloading, MB"
        with progress.progress(what, self._total // 10**6, self._logged) as self._log:
            yield

    def begin(self, name: str, n_bytes: int, done: int) -> None:
        """Start an archive that already has `done` bytes."""
        with self._lock:
            bar = self._bars.add_task(f"  {name}", total=n_bytes, completed=done, phase="")
            self._archives[name] = bar

    def advance(self, name: str, n_bytes: int) -> None:
        """Count bytes of an archive; negative if they were discarded."""
        with self._lock:
            self._bars.advance(self._archives[name], n_bytes)
            self._bars.advance(self._all, n_bytes)
            self._done += n_bytes
            self._log(self._done // 10**6 - self._logged)
            self._logged = self._done // 10**6

    def enter(self, name: str, phase: str) -> None:
        """Set the phase of an archive, such as 'unpacking'; empty while it is downloaded."""
        self._bars.update(self._archives[name], phase=printable(phase))

    def end(self, name: str) -> None:
        """Remove the bar of an archive."""
        with self._lock:
            self._bars.remove_task(self._archives.pop(name))
            self._n_ended += 1
            self._count()

    def _count(self) -> None:
        text = f"{self._n_ended} of {self._n_archives} archives done"
        self._bars.update(self._all, description=text)
