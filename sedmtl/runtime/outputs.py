"""Output files of commands, and a record that distinguishes them from the user's own files.

The record is a hidden file in the output folder, with one line for each content written: the file's
name relative to the folder, its SHA-256, and the recording it belongs to if several recordings
could claim the name. A file whose content is not in the record was not written by us, or was edited
since: it is the user's. The line is written before the file gets its name, so a kill in between
leaves no file that seems to be the user's. The record only grows, by one write per line, so several
processes can write into one folder.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from sedmtl.runtime.atomic import lock_soon, make_folder, remove_file, write_bytes
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.regular import (
    NO_WAIT,
    is_special,
    open_own,
    open_to_read,
    own_descriptor,
    require_own,
)
from sedmtl.runtime.text import counted, encoded

NAME = ".sedmtl.files"

FOLDER = ""
"""Stands for a folder in place of a checksum."""


class Outputs:
    """The outputs below a folder.

    Args:
        folder: The output folder; it need not exist.
        of: The recording they belong to, if several could claim the same names.
        force: Whether to overwrite the user's files, too; None if the command has no such option.
    """

    def __init__(self, folder: Path, *, of: str = "", force: bool | None = None) -> None:
        self.folder, self._of, self._force = folder, of, force
        self._records: dict[Path, _Record] = {}

    def check(self, paths: Iterable[Path]) -> None:
        """Refuse to overwrite the user's files, before anything is computed.

        Raises:
            SedmtlError: There are such files, and `force` is not set.
        """
        if self._force:
            return
        theirs = [path for path in paths if not (self.is_free(path) or is_special(path))]
        if theirs:
            if theirs[0].is_dir():
                raise SedmtlError(f"cannot write {theirs[0]}: it is a folder; name a file")
            n_more = len(theirs) - 1
            more = f" (and {counted(n_more, 'more file')})" if n_more else ""
            force = "" if self._force is None else ", or overwrite it with --force"
            raise SedmtlError(
                f"{theirs[0]}{more} was not written by sedmtl or has been changed since: move it "
                f"away{force}"
            )

    def is_free(self, path: Path) -> bool:
        """Whether a path is unused, or holds what we wrote there for the same recording."""
        if not os.path.lexists(path):
            return True
        # Another command may have written into a folder above or below this one.
        known = [self._record(folder).find(path) for folder in path.absolute().parents]
        found = [digests for of, digests in known if self._of in ("", of)]
        return any(found) and _digest(path) in set().union(*found)

    def write(self, path: Path, content: bytes | str) -> None:
        """Write a file atomically, or write into a device or pipe that the user named.

        Raises:
            SedmtlError: The file is the user's, or cannot be written.
        """
        content = encoded(content) if isinstance(content, str) else content
        if is_special(path):
            _pour(path, io.BytesIO(content))
            return
        self.check([path])
        self._own.add(path, hashlib.sha256(content).hexdigest(), self._of)
        write_bytes(path, content)

    def take(self, path: Path, partial: Path) -> None:
        """Rename a `hidden_file` to `path`, or copy it into a device or pipe.

        Raises:
            SedmtlError: As in `write`.
        """
        if is_special(path):
            with partial.open("rb") as file:
                _pour(path, file)
            return
        self.check([path])
        with explained(f"cannot write {path}"):
            require_own(path, alone=False)
            with partial.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._own.add(path, digest, self._of)
            partial.replace(path)

    def known(self) -> list[Path]:
        """All paths in the record of this folder, whether or not the files exist."""
        return [self.folder / name for name in self._own.names]

    def make_folder(self, path: Path) -> None:
        """Create a folder and record it as ours."""
        self._own.add(path, FOLDER, self._of)
        make_folder(path)

    def remove(self, path: Path) -> bool:
        """Remove a file if it is ours; return whether the path is free now.

        Raises:
            SedmtlError: The file cannot be removed.
        """
        if not self.is_free(path):
            return False
        remove_file(path)
        return True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock this folder while names for new files are chosen in it.

        Raises:
            SedmtlError: The folder cannot be written, or another process keeps it locked.
        """
        path = self.folder / NAME
        make_folder(self.folder)
        with explained(f"cannot write {path}"):
            file = open_own(path, "a+b")
        with file:
            with explained(f"cannot lock {path}"):
                lock_soon(file)
            # Read through this handle: on Windows no other handle can read the locked byte.
            file.seek(0)
            self._records = {self.folder.absolute(): _Record(self.folder.absolute(), file)}
            yield

    @property
    def _own(self) -> _Record:
        return self._record(self.folder.absolute())

    def _record(self, folder: Path) -> _Record:
        if folder not in self._records:
            self._records[folder] = _Record(folder)
        return self._records[folder]


class _Record:
    """The record of a folder; its lines are read from its file unless they are given.

    An unreadable record counts as empty: it may be another user's, in a folder above.
    """

    def __init__(self, folder: Path, lines: Iterable[bytes] | None = None) -> None:
        self._folder, self._path = folder, folder / NAME
        self._known: dict[str, tuple[str, set[str]]] = {}
        with suppress(OSError), ExitStack() as stack:
            if lines is None:
                lines = stack.enter_context(open_to_read(self._path))
            for line in lines:
                with suppress(LookupError, TypeError, ValueError):  # cut off, or not ours
                    content = parse_json(line)
                    self._note(str(content["name"]), str(content["sha256"]), str(content["of"]))

    @property
    def names(self) -> list[str]:
        """Names of the outputs, relative to the folder."""
        return list(self._known)

    def find(self, path: Path) -> tuple[str, set[str]]:
        """The recording an output belongs to, and the checksums of all its versions."""
        return self._known.get(path.absolute().relative_to(self._folder).as_posix(), ("", set()))

    def add(self, path: Path, digest: str, of: str) -> None:
        """Add a line, unless the record has it already.

        Raises:
            SedmtlError: The record cannot be written.
        """
        known_of, digests = self.find(path)
        of = of or known_of
        if known_of == of and digest in digests:
            return
        name = path.absolute().relative_to(self._folder).as_posix()
        make_folder(self._folder)
        line = json.dumps({"name": name, "sha256": digest, "of": of}).encode() + b"\n"
        # In /tmp the record may be another user's; then our output is not recognised as ours later.
        theirs = suppress(PermissionError)
        with explained(f"cannot write {self._path}"), theirs, open_own(self._path, "a+b") as file:
            # A full disk or a power failure may have cut the last line off.
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)
        self._note(name, digest, of)

    def _note(self, name: str, digest: str, of: str) -> None:
        known_of, digests = self._known.get(name, ("", set()))
        # A name passes to another recording only if it was free.
        self._known[name] = of, digests | {digest} if known_of == of else {digest}


def check_output(path: Path, *, force: bool | None) -> None:
    """`Outputs.check` for one file."""
    Outputs(path.parent, force=force).check([path])


def write_output(path: Path, content: bytes | str, *, force: bool | None) -> None:
    """`Outputs.write` for one file."""
    Outputs(path.parent, force=force).write(path, content)


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None for a link, or if the file cannot be read."""
    if path.is_symlink():
        return None
    if path.is_dir():
        return FOLDER
    try:
        with open_to_read(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError:
        return None


def _pour(path: Path, content: IO[bytes]) -> None:
    """Write into a device or pipe; a pipe without a reader raises an error instead of blocking."""
    with explained(f"cannot write {path}"):
        try:
            own = own_descriptor(path)
            # Reopening a file that stdout is redirected to would overwrite its beginning.
            descriptor = os.open(path, os.O_WRONLY | NO_WAIT) if own is None else os.dup(own)
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise OSError(errno.ENXIO, "nobody reads this pipe") from error
            raise
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file)
