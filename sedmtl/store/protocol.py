"""Whether the clips of a store were mixed as `data.yaml` asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sedmtl.runtime.documents import parse_yaml
from sedmtl.runtime.origin import check_settings
from sedmtl.store.reader import Store


def check_mixing(store: Store, mixing: Mapping[str, Any], remake: str) -> None:
    """Refuse a store whose clips were mixed by another protocol.

    Args:
        store: Of mixtures, or of features of them.
        mixing: The protocol of `data.yaml` now.
        remake: The command that makes the store again.

    Raises:
        SedmtlError: They differ; names the first key that does.
    """
    # The list of SNRs tells nothing about one store.
    wanted = {key: value for key, value in mixing.items() if key != "snrs_db"}
    made_with = (parse_yaml(store.data_yaml) or {}).get("mixing", {})
    check_settings(store.path, made_with, wanted, remake)
