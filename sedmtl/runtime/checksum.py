"""A digest that small files carry of themselves, so that a changed value is no value.

It guards against accidents - a bad disk, an edit by hand, half a copy - not against people: whoever
can write the file can seal it anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

KEY = "sha256"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content, and behind it its digest.

    Args:
        content: Plain values: what JSON can say.
    """
    return {**content, KEY: _digest(content)}


def unsealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content without its digest.

    Raises:
        ValueError: It is not what was sealed.
    """
    rest = {key: value for key, value in content.items() if key != KEY}
    if content.get(KEY) != _digest(rest):
        raise ValueError("it is not what was written")
    return rest


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()
