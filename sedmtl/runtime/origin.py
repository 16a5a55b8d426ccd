"""What a file was made from, and whether it would be made from the same today.

A store, a run, the journal of a batch and a kept evaluation each carry this one record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.checksum import sealed, unsealed
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError


@dataclass(frozen=True)
class Origin:
    """What something was made from: plain values, as JSON has them.

    Attributes:
        decides: The values that the content follows from, by name.
        recorded: Values that are noted for readers and decide nothing.
    """

    decides: Mapping[str, Any]
    recorded: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("decides", "recorded"):  # equal to what is read back: tuples are lists there
            object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))

    def changes(self, now: Origin) -> list[str]:
        """Names of the deciding values that are others now, sorted."""
        names = {*self.decides, *now.decides}
        return sorted(name for name in names if self.decides.get(name) != now.decides.get(name))

    def is_current(self, now: Origin) -> bool:
        """Whether the same would be made today, whatever is recorded beside."""
        return not self.changes(now)

    @property
    def hash(self) -> str:
        """SHA-256 of the deciding values."""
        return hashlib.sha256(json.dumps(self.decides, sort_keys=True).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write it to a file of its own.

        Raises:
            SedmtlError: It cannot be written.
        """
        write_text(path, json.dumps(sealed(vars(self))))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What `write` wrote; None if it is missing or damaged."""
        try:
            return cls(**unsealed(parse_json(path.read_bytes())))
        except (OSError, ValueError, TypeError, AttributeError):
            return None


class Stamp(NamedTuple):
    """What shows that a file has changed, without reading it."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Of a file as it is now; -1, -1 if it cannot be examined."""
        try:
            status = path.stat()
        except OSError:
            return cls(-1, -1)
        return cls(status.st_size, status.st_mtime_ns)


def stamp_of(paths: Iterable[Path]) -> str:
    """One stamp of many files.

    Raises:
        SedmtlError: One of them is missing.
    """
    digest = hashlib.sha256()
    for path in paths:
        size, mtime_ns = Stamp.of(path)
        if size < 0:
            raise SedmtlError(f"cannot examine {path}: check that it is there and readable")
        digest.update(f"{size} {mtime_ns}\n".encode())
    return digest.hexdigest()


def check_settings(
    path: Path, made_with: Mapping[str, Any], wanted: Mapping[str, Any], remake: str
) -> None:
    """Refuse a store of other settings.

    Args:
        path: Of the store.
        made_with: Settings by key, as the store has them; a key it lacks is not compared.
        wanted: Settings by key, as `data.yaml` has them.
        remake: The command that makes the store again.

    Raises:
        SedmtlError: They differ; names the first key that does.
    """
    before = Origin({key: made_with[key] for key in wanted if key in made_with})
    now = Origin({key: wanted[key] for key in before.decides})
    for key in before.decides:
        if key in before.changes(now):
            raise SedmtlError(
                f"{path} was made with {key} {made_with[key]}, data.yaml asks for {wanted[key]}: "
                f"run '{remake}' again, or undo the change"
            )
