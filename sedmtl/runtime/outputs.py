"""The files that commands write for the user, told from the user's own by a record beside them.

The record is a hidden file in the folder of the outputs, with a line for each content that was
written: the file's name below the folder, the SHA-256, and the recording that it is about, if
several recordings could claim the name. A file whose content is not in the record was not written
by us, or was edited since: it is the user's. The line is written before the file gets its name, so
a kill in between leaves no file that seems to be the user's. Only lines are added, in one write
each: processes that write into one folder do not disturb each other.
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
"""In place of the checksum of a folder."""


class Outputs:
    """The outputs below a folder.

    Args:
        folder: It need not exist.
        of: The recording that they are about, if several could claim the same names.
        force: Whether files that are the user's are overwritten, too; None if the command has no
            such option.
    """

    def __init__(self, folder: Path, *, of: str = "", force: bool | None = None) -> None:
        self.folder, self._of, self._force = folder, of, force
        self._records: dict[Path, _Record] = {}

    def check(self, paths: Iterable[Path]) -> None:
        """Refuse to overwrite files of the user, before anything is computed.

        Raises:
            SedmtlError: There are such files, and no `force`.
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
        """Whether there is nothing, or what we wrote there, about the same recording."""
        if not os.path.lexists(path):
            return True
        # Another command may have been given a folder above or below this one.
        known = [self._record(folder).find(path) for folder in path.absolute().parents]
        found = [digests for of, digests in known if self._of in ("", of)]
        return any(found) and _digest(path) in set().union(*found)

    def write(self, path: Path, content: bytes | str) -> None:
        """Write a file atomically; a device or a pipe that the user named gets the content.

        Raises:
            SedmtlError: It is the user's, or cannot be written.
        """
        content = encoded(content) if isinstance(content, str) else content
        if is_special(path):
            _pour(path, io.BytesIO(content))
            return
        self.check([path])
        self._own.add(path, hashlib.sha256(content).hexdigest(), self._of)
        write_bytes(path, content)

    def take(self, path: Path, partial: Path) -> None:
        """Give a `hidden_file` its name; a device or a pipe gets its content.

        Raises:
            SedmtlError: As of `write`.
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
        """All paths in the record of this folder, whether there are files or not."""
        return [self.folder / name for name in self._own.names]

    def make_folder(self, path: Path) -> None:
        """Make a folder that is ours; nothing if it is."""
        self._own.add(path, FOLDER, self._of)
        make_folder(path)

    def remove(self, path: Path) -> bool:
        """Remove a file if it is ours; whether there is none now.

        Raises:
            SedmtlError: It cannot be removed.
        """
        if not self.is_free(path):
            return False
        remove_file(path)
        return True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from this folder while names for new files are chosen in it.

        Raises:
            SedmtlError: The folder cannot be written, or another process does not leave it.
        """
        path = self.folder / NAME
        make_folder(self.folder)
        with explained(f"cannot write {path}"):
            file = open_own(path, "a+b")
        with file:
            with explained(f"cannot lock {path}"):
                lock_soon(file)
            # Through this handle: on Windows no other can read the locked byte.
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
    """The record of a folder; its lines, if they are not given, are read from its file.

    One that cannot be read claims nothing: it may be in a folder above, and another person's.
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
        """Of the outputs, below the folder."""
        return list(self._known)

    def find(self, path: Path) -> tuple[str, set[str]]:
        """The recording that an output is about, and the checksums of all that it was."""
        return self._known.get(path.absolute().relative_to(self._folder).as_posix(), ("", set()))

    def add(self, path: Path, digest: str, of: str) -> None:
        """Add a line, unless it is known.

        Raises:
            SedmtlError: It cannot be written.
        """
        known_of, digests = self.find(path)
        of = of or known_of
        if known_of == of and digest in digests:
            return
        name = path.absolute().relative_to(self._folder).as_posix()
        make_folder(self._folder)
        line = json.dumps({"name": name, "sha256": digest, "of": of}).encode() + b"\n"
        # In /tmp it may be another person's: then what we write is not known as ours later.
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
        # A name that went to another recording was free.
        self._known[name] = of, digests | {digest} if known_of == of else {digest}


def check_output(path: Path, *, force: bool | None) -> None:
    """`Outputs.check` for one file."""
    Outputs(path.parent, force=force).check([path])


def write_output(path: Path, content: bytes | str, *, force: bool | None) -> None:
    """`Outputs.write` for one file."""
    Outputs(path.parent, force=force).write(path, content)


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None if it is none, or cannot be read."""
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
    """Write into a device, or into a pipe that somebody reads: one that nobody reads would hang."""
    with explained(f"cannot write {path}"):
        try:
            own = own_descriptor(path)
            # Opened anew, a file that stdout was redirected to would be written from its beginning.
            descriptor = os.open(path, os.O_WRONLY | NO_WAIT) if own is None else os.dup(own)
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise OSError(errno.ENXIO, "nobody reads this pipe") from error
            raise
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file)
