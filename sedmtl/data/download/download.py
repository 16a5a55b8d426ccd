"""`sedmtl download`: published archives -> checked and unpacked corpora."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from pathlib import Path

from sedmtl.data.download.catalogue import SLACK, Archive, Corpus
from sedmtl.data.download.checksums import md5_of
from sedmtl.data.download.manifest import Manifest
from sedmtl.data.download.meter import Meter
from sedmtl.data.download.transfer import Remote, UnreachableError, fetch
from sedmtl.data.download.unpacking import Limits, unpack
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.progress import duration, say, size_text

N_CONNECTIONS = 2
"""At a time; also the archives that are in work, and so on the disk."""

LOOK_S = 0.2
"""Between two looks at the work."""

N_TABLES = 1000
"""So many files beside its recordings are let pass in an archive."""


@dataclass(frozen=True)
class DownloadOptions:
    """What the command line says.

    Attributes:
        to_dir: Gets a folder a corpus.
        accept_licence: Whether the user has.
        mirror: The address below which the archives are, in place of Zenodo.
        from_dir: The folder that holds them, in place of a server.
        keep_archives: Whether they stay, under their names.
    """

    to_dir: Path
    accept_licence: bool = False
    mirror: str | None = None
    from_dir: Path | None = None
    keep_archives: bool = False


@dataclass(frozen=True)
class Job:
    """An archive that is not unpacked yet."""

    archive: Archive
    manifest: Manifest


class StoppedError(Exception):
    """Work that another's end has ended."""


def describe(corpus: Corpus) -> str:
    """What a user should know before downloading a corpus; several lines."""
    about = "" if corpus.exact else "about "
    return (
        f"{corpus.name}: {corpus.role}\n"
        f"  size: {about}{size_text(corpus.n_bytes)} to download, about "
        f"{size_text(corpus.n_unpacked_bytes)} unpacked\n"
        f"  licence: {corpus.licence}\n"
        f"  source: {corpus.page}"
    )


def download(corpora: Sequence[Corpus], options: DownloadOptions) -> list[Path]:
    """Bring corpora here; what an earlier attempt has done is not done again.

    Args:
        corpora: Which.
        options: The rest.

    Returns:
        The folder of each.

    Raises:
        SedmtlError: The licence is not accepted, another download works in the folder, the disk
            is too small, or an archive cannot be had; the others are done then.
    """
    for corpus in corpora:
        say(describe(corpus))
    if not options.accept_licence:
        raise SedmtlError(
            "nothing is downloaded before you accept what is said above under licence: the same "
            "command with --accept-license does"
        )
    with folder_lock(options.to_dir, "sedmtl download"):
        manifests = [Manifest(corpus, options.to_dir) for corpus in corpora]
        jobs = list(_plan(manifests))
        _check_space(jobs, options)
        _Work(jobs, options).run()
    for manifest in manifests:
        say(f"{manifest.corpus.name} is complete: {manifest.n_files:,} files, {manifest.path}")
    return [manifest.folder for manifest in manifests]


def _plan(manifests: Iterable[Manifest]) -> Iterable[Job]:
    for manifest in manifests:
        for archive in manifest.corpus.archives:
            if not manifest.is_here(archive):
                yield Job(archive, manifest)


def _part(archive: Archive, options: DownloadOptions) -> Path:
    return options.to_dir / f".{archive.name}.part"


def _whole(archive: Archive, options: DownloadOptions) -> Path | None:
    """An archive that need not be fetched: in the folder of archives, or kept here."""
    path = (options.from_dir or options.to_dir) / archive.name
    return path if options.from_dir or path.exists() else None


def _n_here(archive: Archive, options: DownloadOptions) -> int:
    """Bytes of an archive that an earlier attempt has fetched."""
    part = _part(archive, options)
    return part.stat().st_size if part.exists() else 0


def _to_fetch(jobs: Sequence[Job], options: DownloadOptions) -> list[Archive]:
    return [job.archive for job in jobs if _whole(job.archive, options) is None]


def _check_space(jobs: Sequence[Job], options: DownloadOptions) -> None:
    """Refuse to begin what does not fit: archives (two at a time, or all if kept) and files."""
    missing = [
        max(0, archive.n_bytes - _n_here(archive, options)) for archive in _to_fetch(jobs, options)
    ]
    archives = sum(missing if options.keep_archives else nlargest(N_CONNECTIONS, missing))
    manifests = {job.manifest.path: job.manifest for job in jobs}.values()
    unpacked = sum(max(0, m.corpus.n_unpacked_bytes - m.n_bytes) for m in manifests)
    free = shutil.disk_usage(options.to_dir).free
    if jobs and free < archives + unpacked:
        raise SedmtlError(
            f"expected {size_text(archives + unpacked)} free at {options.to_dir} "
            f"({size_text(unpacked)} for the files and {size_text(archives)} for archives), found "
            f"{size_text(free)}: free some, or name another disk with --to"
        )


def _limits(corpus: Corpus) -> Limits:
    return Limits(SLACK * corpus.n_unpacked_bytes, SLACK * corpus.n_files + N_TABLES)


class _Work:
    """All that is to be done, on as many threads as there may be connections."""

    def __init__(self, jobs: Sequence[Job], options: DownloadOptions) -> None:
        self.jobs = jobs
        self.options = options
        fetched = _to_fetch(jobs, options)
        n_here = sum(_n_here(archive, options) for archive in fetched)
        self.meter = Meter(len(jobs), sum(archive.n_bytes for archive in fetched), n_here)
        self.stop = threading.Event()

    def run(self) -> None:
        """Do it; an archive that fails leaves the others alone, a server that is away does not.

        Raises:
            SedmtlError: Not all could be done; the reasons are said before, or are this.
        """
        with ThreadPoolExecutor(N_CONNECTIONS) as pool, self.meter.shown() as show:
            futures = [pool.submit(self._do, job) for job in self.jobs]
            try:
                errors = self._await(futures, show)
            finally:
                self.stop.set()
                for future in futures:
                    future.cancel()
        if len(errors) == 1:
            raise errors[0]
        if errors:
            for error in errors:
                say(str(error))
            raise SedmtlError(
                f"{len(errors)} archives could not be had, for the reasons above; the same "
                "command goes on with what is missing"
            )

    def _await(
        self, futures: Sequence[Future[None]], show: Callable[[], None]
    ) -> list[SedmtlError]:
        """Wait for all; the errors of those that failed."""
        errors: list[SedmtlError] = []
        pending = set(futures)
        while pending:
            done, pending = wait(pending, LOOK_S, FIRST_COMPLETED)
            show()
            for future in done:
                error = future.exception()
                if isinstance(error, SedmtlError):
                    errors.append(error)
                elif error is not None and not isinstance(error, StoppedError):
                    raise error
        return errors

    def _do(self, job: Job) -> None:
        self._look(0)
        archive = job.archive
        self.meter.begin(archive.name, archive.n_bytes, _n_here(archive, self.options))
        try:
            path = self._obtain(job)
            self.meter.enter(archive.name, "unpacking")
            entries = unpack(path, job.manifest.folder, _limits(job.manifest.corpus), self._look)
            job.manifest.add(archive, entries)
            if path == _part(archive, self.options):
                path.unlink()
            say(f"{archive.name}: as published, {len(entries):,} files unpacked")
        except UnreachableError:
            self.stop.set()
            raise
        finally:
            self.meter.end(archive.name)

    def _obtain(self, job: Job) -> Path:
        """The archive, here and checked."""
        archive, options = job.archive, self.options
        if path := _whole(archive, options):
            if not path.is_file():
                raise SedmtlError(
                    f"expected the archive {path}, found no such file: without --from, the same "
                    "command downloads what is missing"
                )
            found = self._md5(archive, path)
            if found == archive.md5:
                return path
            raise _wrong(str(path), archive, found, "move it away, and it is fetched again")
        part = self._fetch(job)
        if not options.keep_archives:
            return part
        return part.replace(options.to_dir / archive.name)

    def _fetch(self, job: Job) -> Path:
        """The archive from a server; once more from its beginning if its parts do not fit."""
        archive, part = job.archive, _part(job.archive, self.options)
        url = job.manifest.corpus.url(archive, self.options.mirror)
        remote = Remote(url, archive.n_bytes if archive.exact else None, archive.max_bytes)
        advance, pause = partial(self._advance, archive.name), partial(self._wait, archive.name)
        pieced = fetch(remote, part, advance, pause)
        found = self._md5(archive, part)
        if found != archive.md5 and pieced:
            say(f"{archive.name}: its parts do not fit each other; once more from the beginning")
            self._discard(archive, part)
            fetch(remote, part, advance, pause)
            found = self._md5(archive, part)
        if found != archive.md5:
            self._discard(archive, part)
            raise _wrong(url, archive, found, "try later, or another server with --mirror")
        return part

    def _discard(self, archive: Archive, part: Path) -> None:
        self.meter.enter(archive.name, "")
        self.meter.advance(archive.name, -part.stat().st_size)
        part.unlink()

    def _md5(self, archive: Archive, path: Path) -> str:
        self.meter.enter(archive.name, "checking")
        return md5_of(path, self._look)

    def _look(self, _: int) -> None:
        if self.stop.is_set():
            raise StoppedError

    def _advance(self, name: str, n_bytes: int) -> None:
        self.meter.advance(name, n_bytes)
        self._look(0)

    def _wait(self, name: str, seconds: float, reason: str) -> None:
        say(f"{name}: {reason}; next try in {duration(seconds)}")
        self.meter.enter(name, f"waiting: {reason}")
        if self.stop.wait(seconds):
            raise StoppedError
        self.meter.enter(name, "")


def _wrong(where: str, archive: Archive, found: str, advice: str) -> SedmtlError:
    return SedmtlError(
        f"{where}: expected the MD5 sum {archive.md5} of {archive.name}, found {found}: it is not "
        f"the published file, and nothing of it was unpacked; {advice}"
    )
