"""Parsing of untrusted YAML and JSON into plain values, and the checksum inside our own files.

Tags create no objects, aliases expand to a bounded number of values, and documents too deep or too
large to walk or print are refused: a `ValueError` gives the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

CHECKSUM = "sha256"
"""Key of the checksum in a document."""
MAX_YAML = 1 << 20
"""Most characters in a YAML text: PyYAML takes about 2 s to parse that many."""
MAX_VALUES = 1 << 20
"""Most values in a YAML text with its aliases expanded."""
MAX_BITS = 1024
"""Most bits in an integer; Python refuses to print more than 4,300 digits."""


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys: PyYAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"found the key '{key.value}' twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Parse one YAML document; None if it is empty.

    Raises:
        ValueError: The text is not YAML, repeats a key, or is too long, too deep or too large.
    """
    if len(text) > MAX_YAML:
        raise ValueError(f"it has {len(text):,} characters, expected at most {MAX_YAML:,}")
    try:
        value = yaml.load(text, _Loader)
        _weigh(value, {})
    except yaml.YAMLError as error:
        reason = str(error).replace('"<unicode string>", ', "")
        raise ValueError(" ".join(reason.split())) from error
    except (AttributeError, LookupError, TypeError) as error:  # from PyYAML, for `!!bool maybe`
        raise ValueError("it holds a tag that does not fit its value") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def parse_json(text: str | bytes) -> Any:
    """Parse one JSON document.

    Raises:
        ValueError: The text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _weigh(value: Any, known: dict[int, int]) -> int:
    """Count the values with every alias expanded."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError("it holds a number that is too long")
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) not in known:
        # Over the limit until counted: a value that contains itself would never end.
        known[id(value)] = MAX_VALUES + 1
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_weigh(each, known) for each in inner)
    if known[id(value)] > MAX_VALUES:
        raise ValueError("its aliases expand to too many values")
    return known[id(value)]


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values with their checksum appended.

    The checksum guards against accidents (a bad disk, a manual edit, an incomplete copy), not
    against tampering: whoever can write the file can also update the checksum.
    """
    return {**content, CHECKSUM: _digest(content)}


def unsealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content without its checksum.

    Raises:
        ValueError: The checksum does not match.
    """
    rest = {key: value for key, value in content.items() if key != CHECKSUM}
    if content.get(CHECKSUM) != _digest(rest):
        raise ValueError("its checksum does not match")
    return rest


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()
