"""Whether a store was made with what `data.yaml` says now. A leaf."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sedmtl.errors import SedmtlError


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
