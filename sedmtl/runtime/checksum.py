"""A checksum inside small files, so that a changed value is detected.

It guards against accidents (a bad disk, a manual edit, an incomplete copy), not against tampering:
whoever can write the file can also update the checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

KEY = "sha256"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Append the checksum to the content.

    Args:
        content: JSON values.
    """
    return {**content, KEY: _digest(content)}


def unsealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content without its checksum.

    Raises:
        ValueError: The checksum does not match.
    """
    rest = {key: value for key, value in content.items() if key != KEY}
    if content.get(KEY) != _digest(rest):
        raise ValueError("its checksum does not match")
    return rest


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()
