"""What a store was made with and from, and whether that is so still."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sedmtl.runtime.documents import parse_yaml
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import say


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
    for key, value in wanted.items():
        if key in made_with and made_with[key] != value:
            raise SedmtlError(
                f"{path} was made with {key} {made_with[key]}, data.yaml asks for {value}: run "
                f"'{remake}' again, or undo the change"
            )


def check_mixing(path: Path, made_with: str, mixing: Mapping[str, Any], remake: str) -> None:
    """Refuse a store whose clips were mixed by another protocol.

    Args:
        path: Of the store.
        made_with: Text of the data.yaml that it was made with; empty: it does not say.
        mixing: The protocol of data.yaml now.
        remake: The command that makes the store again.

    Raises:
        SedmtlError: They differ; names the first key that does.
    """
    # Which SNRs data.yaml lists says nothing about any one store.
    wanted = {key: value for key, value in mixing.items() if key != "snrs_db"}
    check_settings(path, (parse_yaml(made_with) or {}).get("mixing", {}), wanted, remake)


def stamp_of(paths: Iterable[Path]) -> str:
    """Name the state of files by their sizes and times of change, without reading them.

    Raises:
        SedmtlError: One of them is not there.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise SedmtlError(f"cannot look at {path}: {error.strerror}") from error
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def say_replaced(path: Path) -> None:
    """Tell that a store which is there is no longer what it would be made as."""
    say(f"{path} is of other settings or other audio: it is made anew")
