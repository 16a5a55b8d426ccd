"""Class names: one spelling for each.

Unicode can store the same letters composed or decomposed, and macOS decomposes file names. Two
such names would silently become two classes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from sedmtl.runtime.progress import say

LONG = 5
"""Shortest name in which a changed, added or missing letter suggests a misspelling."""


def class_name(text: str) -> str:
    """Compose (Unicode NFC) a name that was read from a table, a folder or an option."""
    return unicodedata.normalize("NFC", text)


def warn_of_twins(names: Iterable[str]) -> None:
    """Warn about classes whose names are nearly the same; they stay separate."""
    found = twins(names)
    if found:
        more = f" (and {len(found) - 1} more such groups)" if found[1:] else ""
        say(
            f"warning: the names of the classes {' and '.join(map(repr, found[0]))}{more} are "
            "nearly the same; they are kept apart: if they are one class, give them one spelling"
        )


def twins(names: Iterable[str]) -> list[list[str]]:
    """Group names that differ in case, accents or separators, or in one or two letters.

    Numbered names, such as `site 1` and `site 2`, are not twins.
    """
    plain = {name: _plain(name) for name in sorted(set(names))}
    by_key: dict[str, list[str]] = {}
    for name, text in plain.items():
        shorter = [text[:i] + text[i + 1 :] for i in range(len(text))] if len(text) >= LONG else []
        for key in {text, *shorter}:
            by_key.setdefault(key, []).append(name)
    found = (_not_numbered(group, plain) for group in by_key.values())
    return [list(group) for group in dict.fromkeys(tuple(group) for group in found if group[1:])]


def _plain(name: str) -> str:
    """Reduce a name to lower-case letters and digits without accents."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if letter.isalnum()) or name


def _not_numbered(group: Sequence[str], plain: Mapping[str, str]) -> list[str]:
    """Drop names that differ from an earlier one only in their numbers."""
    kept: list[str] = []
    for name in group:
        letters = re.sub(r"\d+", "", plain[name])
        others = [plain[each] for each in kept if re.sub(r"\d+", "", plain[each]) == letters]
        if not others or plain[name] in others:
            kept.append(name)
    return kept
