"""YAML and JSON that anybody may have written, as plain values.

No tag makes an object, no alias stands for more than could have been written out, and nothing is so
deep or so long that those who walk or print the values would fail. A text that is not like that is
a `ValueError` with the reason.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

MAX_YAML = 1 << 20
"""Characters of a YAML text: PyYAML takes about 2 s for as many."""
MAX_VALUES = 1 << 20
"""What the aliases of a YAML text may stand for, written out."""
MAX_BITS = 1024
"""Of an integer; Python refuses to print those of 4,300 digits and more."""


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once: PyYAML would quietly take the last of several."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"found the key '{key.value}' twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """One YAML document; None if it is empty.

    Raises:
        ValueError: It is none, says a key twice, or is too long, too deep or too much.
    """
    if len(text) > MAX_YAML:
        raise ValueError(f"it has {len(text):,} characters, expected {MAX_YAML:,} at most")
    try:
        value = yaml.load(text, _Loader)
        _weigh(value, {})
    except yaml.YAMLError as error:
        reason = str(error).replace('"<unicode string>", ', "")
        raise ValueError(" ".join(reason.split())) from error
    except (AttributeError, LookupError, TypeError) as error:  # as PyYAML does of `!!bool maybe`
        raise ValueError("it holds a tag that does not fit its value") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def parse_json(text: str | bytes) -> Any:
    """One JSON document.

    Raises:
        ValueError: It is none, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _weigh(value: Any, known: dict[int, int]) -> int:
    """How many values it stands for with every alias written out."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError("it holds a number that is too long")
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) not in known:
        # Until it is known, it is too much: what holds itself never ends.
        known[id(value)] = MAX_VALUES + 1
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_weigh(each, known) for each in inner)
    if known[id(value)] > MAX_VALUES:
        raise ValueError("its aliases stand for too many values")
    return known[id(value)]
