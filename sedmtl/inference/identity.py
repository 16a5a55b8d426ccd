"""Which network a run folder holds: trained anew under the same name, it is another one."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sedmtl.runtime.regular import read_bytes

NAMED = re.compile(r"(.+)@[0-9a-f]{8}")
"""As of `network_name`."""


def digest_of(run: Path) -> str:
    """SHA-256 of everything that determines the scores of a finished run."""
    contents = [read_bytes(run / name) for name in ("model.json", "model.safetensors")]
    return hashlib.sha256(b"".join(contents)).hexdigest()


def network_name(run: Path) -> str:
    """The name of a finished run and the beginning of its digest: `final@5c1d09ab`."""
    return f"{run.name}@{digest_of(run)[:8]}"


def run_of(network: str) -> str:
    """The name of the run in that of a network; what is none, such as a tool's, stays."""
    found = NAMED.fullmatch(network)
    return found[1] if found else network
