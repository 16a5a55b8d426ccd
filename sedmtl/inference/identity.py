"""Identifies the network of a run: a run retrained under the same name is another network."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sedmtl.runtime.regular import read_bytes

NAMED = re.compile(r"(.+)@[0-9a-f]{8}")
"""Pattern of `network_name`."""


def digest_of(run: Path) -> str:
    """SHA-256 of everything that determines the scores of a finished run."""
    contents = [read_bytes(run / name) for name in ("model.json", "model.safetensors")]
    return hashlib.sha256(b"".join(contents)).hexdigest()


def network_name(run: Path) -> str:
    """The name of a finished run with a prefix of its digest: `final@5c1d09ab`."""
    return f"{run.name}@{digest_of(run)[:8]}"


def run_of(network: str) -> str:
    """The run's name in a network's name; other names, such as a tool's, are returned as is."""
    found = NAMED.fullmatch(network)
    return found[1] if found else network
