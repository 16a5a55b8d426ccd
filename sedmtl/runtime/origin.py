"""Records of what a file was made from, which show whether it is still current.

Stores, runs, journals of predictions and kept evaluations each carry one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.documents import parse_json, sealed, unsealed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import read_bytes


@dataclass(frozen=True)
class Origin:
    """What something was made from, as JSON values by name.

    Attributes:
        decides: Values that determine the content.
        recorded: Values noted for readers, without effect.
    """

    decides: Mapping[str, Any]
    recorded: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("decides", "recorded"):  # JSON turns tuples into lists
            object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))

    def changes(self, now: Origin) -> list[str]:
        """Names of the deciding values that have changed, sorted."""
        names = {*self.decides, *now.decides}
        return sorted(name for name in names if self.decides.get(name) != now.decides.get(name))

    def is_current(self, now: Origin) -> bool:
        """Whether all deciding values are unchanged."""
        return not self.changes(now)

    @property
    def hash(self) -> str:
        """SHA-256 of the deciding values."""
        return hashlib.sha256(json.dumps(self.decides, sort_keys=True).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the record to its own file."""
        write_text(path, json.dumps(sealed(vars(self))))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read what `write` wrote; None if the file is missing or damaged."""
        try:
            return cls(**unsealed(parse_json(read_bytes(path))))
        except (OSError, ValueError, TypeError, AttributeError):
            return None


class Stamp(NamedTuple):
    """Size and modification time of a file, which reveal a change without reading it."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Stamp of a file as it is now; (-1, -1) if it cannot be examined."""
        try:
            status = path.stat()
        except OSError:
            return cls(-1, -1)
        return cls(status.st_size, status.st_mtime_ns)


def stamp_of(paths: Iterable[Path]) -> str:
    """Combine the stamps of many files; raises a `SedmtlError` if one is missing."""
    digest = hashlib.sha256()
    for path in paths:
        size, mtime_ns = Stamp.of(path)
        if size < 0:
            raise SedmtlError(f"cannot examine {path}: check that it exists and is readable")
        digest.update(f"{size} {mtime_ns}\n".encode())
    return digest.hexdigest()


def check_settings(
    path: Path, made_with: Mapping[str, Any], wanted: Mapping[str, Any], remake: str
) -> None:
    """Refuse a store that was made with different settings from those in `data.yaml`.

    Raises:
        SedmtlError: The settings differ; the message names the first key, and the command to
            `remake` the store. Keys that the store lacks are not compared.
    """
    for key in wanted:
        before, now = (Origin({key: values.get(key)}) for values in (made_with, wanted))
        if key in made_with and not before.is_current(now):
            raise SedmtlError(
                f"{path} was made with {key} {made_with[key]}, but data.yaml has {wanted[key]}: "
                f"run '{remake}' again, or undo the change"
            )
