"""Reading of `data.yaml`, with a one-sentence error for what is wrong in it."""

from __future__ import annotations

import reprlib
from pathlib import Path

from pydantic import ValidationError

from sedmtl.config.schema import Config
from sedmtl.runtime.documents import MAX_YAML, parse_yaml
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import open_to_read

SHORT = reprlib.Repr()
"""Formats values for error messages, truncated."""
SHORT.maxstring = SHORT.maxother = 60


def load_config(path: Path) -> Config:
    """Read and validate a `data.yaml`.

    Args:
        path: The file; relative paths in it are relative to its folder.

    Raises:
        SedmtlError: The file is missing, is not YAML, or holds an unknown key, a repeated key or an
            impossible value; the message names the key and what is allowed.
    """
    try:
        with open_to_read(path, "r", encoding="utf-8") as file:
            data = parse_yaml(file.read(MAX_YAML + 1))
    except FileNotFoundError:
        raise SedmtlError(
            f"no {path.name} in {path.resolve().parent}: name one with --config, copy the one in "
            "the README, or let 'sedmtl demo' make a whole project"
        ) from None
    except OSError as error:
        raise SedmtlError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SedmtlError(f"{path} is not valid YAML: {error}") from error
    if data is not None and not isinstance(data, dict):
        raise SedmtlError(f"{path} should hold keys such as 'corpus:', found {SHORT.repr(data)}")
    try:
        config = Config.model_validate(data or {})
    except ValidationError as error:
        raise SedmtlError(f"{path}: {_sentence(error)}") from error
    config._folder = path.parent
    return config


def load_config_if_any(path: Path) -> Config:
    """`load_config`, but a missing file gives the defaults, relative to the current folder."""
    return load_config(path) if path.exists() else Config()


# Pydantic's error types in terms of YAML; `{}` is filled from the error's context.
WORDS = {
    "missing": "is missing",
    "model_type": "should hold keys and values",
    "model_attributes_type": "should hold keys and values",
    "path_type": "should be a path",
    "too_short": "should list at least {min_length}",
    "tuple_type": "should be a list",
    "union_tag_invalid": "should be one of {expected_tags}",
    "union_tag_not_found": "is missing",
}


def _sentence(error: ValidationError) -> str:
    """The first problem as one sentence: the key's path, what is allowed, what was found."""
    problems = error.errors()
    first = problems[0]
    # A corpus is a union discriminated by its kind, which pydantic adds to the path; the other
    # alternatives of a plain union (onsets) appear as further problems of the same key.
    in_union = first["loc"][:2] in (("corpus", "events"), ("corpus", "scenes"))
    parts = [str(part) for i, part in enumerate(first["loc"]) if not (in_union and i == 2)]
    context = first.get("ctx", {})
    message = first["msg"].replace("Input should be", "should be")
    if first["type"] in WORDS:
        message = WORDS[first["type"]].format_map(context)
    found = first["input"]
    if first["type"].startswith("union_tag"):
        parts, found = [*parts, "kind"], context.get("tag", found)
    key = ".".join(parts)
    if first["type"] == "literal_error" and "onsets" in key:
        key, message = "mixing.onsets", "should be 'fixed', 'random' or a list of onsets in seconds"
    tail = "" if isinstance(found, dict) else f", found {SHORT.repr(found)}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 and "onsets" not in key else ""
    return f"{key}: {message}{tail}{more}".removeprefix(": ")
