"""The audio files of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sedmtl.runtime.atomic import is_special
from sedmtl.runtime.errors import SedmtlError

EXTENSIONS = frozenset(
    (".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff",
     ".aifc", ".au", ".caf")
)  # fmt: skip
"""Extensions of the audio files in a folder: the formats that soundfile reads."""


def files_below(folder: Path) -> Iterable[Path]:
    """The audio files below a folder, in a fixed order; hidden ones are left out.

    Raises:
        SedmtlError: A name is not UTF-8, so no table or store can hold it.
    """
    # A dangling link counts: its recording is missing. Reading a pipe would block.
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in EXTENSIONS and not (hidden or path.is_dir() or is_special(path)):
            try:
                str(path).encode()
            except UnicodeEncodeError:
                raise SedmtlError(
                    f"expected file names in UTF-8, found {str(path)!a}: rename it"
                ) from None
            yield path
