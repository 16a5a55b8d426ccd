"""Whether the clips of a store were mixed with the protocol of `data.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sedmtl.runtime.documents import parse_yaml
from sedmtl.runtime.origin import check_settings
from sedmtl.store.reader import Store


def check_mixing(store: Store, mixing: Mapping[str, Any], remake: str) -> None:
    """Refuse a store whose clips were mixed with another protocol.

    Args:
        store: A store of mixtures or of their features.
        mixing: The current protocol of `data.yaml`.
        remake: The command that rebuilds the store.

    Raises:
        SedmtlError: They differ; the message names the first key.
    """
    # The list of SNRs does not affect a single store.
    wanted = {key: value for key, value in mixing.items() if key != "snrs_db"}
    made_with = (parse_yaml(store.data_yaml) or {}).get("mixing", {})
    check_settings(store.path, made_with, wanted, remake)
