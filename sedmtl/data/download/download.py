"""`sedmtl download`: published archives -> verified and unpacked corpora."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from pathlib import Path

from sedmtl.data.download.catalogue import SLACK, Archive, Corpus
from sedmtl.data.download.manifest import Manifest, md5_of
from sedmtl.data.download.meter import Meter
from sedmtl.data.download.transfer import Remote, UnreachableError, fetch
from sedmtl.data.download.unpacking import Limits, unpack
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.progress import duration, say, size_text

N_CONNECTIONS = 2
"""Archives processed at once, and so also the most archives on disk."""

N_TABLES = 1000
"""Most files in an archive besides its recordings."""


@dataclass(frozen=True)
class DownloadOptions:
    """Options of the command line.

    Attributes:
        to_dir: Folder for the corpora, each in its own sub-folder.
        mirror: Address to download the archives from instead of Zenodo.
        from_dir: Folder of archives to use instead of a server.
    """

    to_dir: Path
    accept_licence: bool = False
    mirror: str | None = None
    from_dir: Path | None = None
    keep_archives: bool = False


@dataclass(frozen=True)
class _Job:
    """An archive to unpack."""

    archive: Archive
    manifest: Manifest
    options: DownloadOptions

    @property
    def part(self) -> Path:
        """File that the archive is downloaded to."""
        return self.options.to_dir / f".{self.archive.name}.part"

    @property
    def n_done(self) -> int:
        """Bytes that an earlier attempt downloaded."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def local_path(self) -> Path | None:
        """Path of the archive if it need not be downloaded: the user's own, or a kept one."""
        path = (self.options.from_dir or self.options.to_dir) / self.archive.name
        return path if self.options.from_dir or path.exists() else None


class StoppedError(Exception):
    """Raised in the other threads when the download stops."""


def describe(corpus: Corpus) -> list[str]:
    """Lines on what a user should know before downloading a corpus."""
    about = "" if corpus.exact else "about "
    return [
        f"{corpus.name}: {corpus.role}",
        f"  size: {about}{size_text(corpus.n_bytes)} to download, about "
        f"{size_text(corpus.n_unpacked_bytes)} unpacked",
        f"  licence: {corpus.licence}",
        f"  source: {corpus.page}",
    ]


def download(corpora: Sequence[Corpus], options: DownloadOptions) -> list[Path]:
    """Download corpora, resuming an earlier attempt.

    Returns:
        The folder of each.

    Raises:
        SedmtlError: The licence is not accepted, another download uses the folder, disk space is
            insufficient, or an archive cannot be downloaded; then the others are complete.
    """
    for line in (line for corpus in corpora for line in describe(corpus)):
        say(line)
    if not options.accept_licence:
        raise SedmtlError(
            "nothing is downloaded before you accept the licences above: run the same command "
            "with --accept-license"
        )
    with folder_lock(options.to_dir, "sedmtl download"):
        manifests = [Manifest(corpus, options.to_dir) for corpus in corpora]
        jobs = [
            _Job(archive, manifest, options)
            for manifest in manifests
            for archive in manifest.corpus.archives
            if not manifest.is_here(archive)
        ]
        _check_space(jobs, options)
        _Work(jobs).run()
    for manifest in manifests:
        say(f"{manifest.corpus.name} is complete: {manifest.n_files:,} files, {manifest.path}")
    return [manifest.folder for manifest in manifests]


def _check_space(jobs: Sequence[_Job], options: DownloadOptions) -> None:
    """Check the disk space for archives (two at a time, or all if kept) and files."""
    missing = [max(0, job.archive.n_bytes - job.n_done) for job in jobs if job.local_path is None]
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


class _Work:
    """Downloads and unpacks archives, one thread per connection."""

    def __init__(self, jobs: Sequence[_Job]) -> None:
        self.jobs = jobs
        fetched = [job for job in jobs if job.local_path is None]
        total = sum(job.archive.n_bytes for job in fetched)
        self.meter = Meter(len(jobs), total, sum(job.n_done for job in fetched))
        self.stop = threading.Event()

    def run(self) -> None:
        """Process all archives; one failure does not stop the others, a lost server does."""
        errors: list[SedmtlError] = []
        with ThreadPoolExecutor(N_CONNECTIONS) as pool, self.meter.shown():
            futures = [pool.submit(self._do, job) for job in self.jobs]
            try:
                for future in as_completed(futures):
                    error = future.exception()
                    if isinstance(error, SedmtlError):
                        errors.append(error)
                    elif error is not None and not isinstance(error, StoppedError):
                        raise error
            finally:
                self.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            for error in errors:
                say(str(error))
            raise SedmtlError(
                f"{len(errors)} archives could not be downloaded, for the reasons above; rerun the "
                "same command to download what is missing"
            )

    def _do(self, job: _Job) -> None:
        self._check_stop(0)
        archive, corpus = job.archive, job.manifest.corpus
        self.meter.begin(archive.name, archive.n_bytes, job.n_done)
        try:
            path = self._obtain(job)
            self.meter.enter(archive.name, "unpacking")
            limits = Limits(SLACK * corpus.n_unpacked_bytes, SLACK * corpus.n_files + N_TABLES)
            entries = unpack(path, job.manifest.folder, limits, self._check_stop)
            job.manifest.add(archive, entries)
            if path == job.part:
                path.unlink()
            say(f"{archive.name}: as published, {len(entries):,} files unpacked")
        except UnreachableError:
            self.stop.set()
            raise
        finally:
            self.meter.end(archive.name)

    def _obtain(self, job: _Job) -> Path:
        """Path of the archive, once it is here and verified."""
        archive = job.archive
        if path := job.local_path:
            if not path.is_file():
                raise SedmtlError(
                    f"expected the archive {path}, found no such file: without --from, the same "
                    "command downloads what is missing"
                )
            found = self._md5(archive, path)
            if found == archive.md5:
                return path
            raise _wrong(str(path), archive, found, "move it away, and it is downloaded again")
        self._fetch(job)
        if job.options.keep_archives:
            return job.part.replace(job.options.to_dir / archive.name)
        return job.part

    def _fetch(self, job: _Job) -> None:
        """Download an archive; start over once if a resumed download has the wrong checksum."""
        archive, part = job.archive, job.part
        url = job.manifest.corpus.url(archive, job.options.mirror)
        remote = Remote(url, archive.n_bytes if archive.exact else None, archive.max_bytes)
        advance, pause = partial(self._advance, archive.name), partial(self._wait, archive.name)
        for is_first in (True, False):
            resumed = fetch(remote, part, advance, pause)
            found = self._md5(archive, part)
            if found == archive.md5:
                return
            self.meter.enter(archive.name, "")
            self.meter.advance(archive.name, -part.stat().st_size)
            part.unlink()
            if not (is_first and resumed):
                raise _wrong(url, archive, found, "try later, or another server with --mirror")
            say(f"{archive.name}: its parts do not fit each other; starting again")

    def _md5(self, archive: Archive, path: Path) -> str:
        self.meter.enter(archive.name, "verifying")
        return md5_of(path, self._check_stop)

    def _check_stop(self, _: int) -> None:
        if self.stop.is_set():
            raise StoppedError

    def _advance(self, name: str, n_bytes: int) -> None:
        self.meter.advance(name, n_bytes)
        self._check_stop(0)

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
