"""Names of classes: one spelling for each.

The same letters can be stored in two ways, composed and decomposed; macOS decomposes the names of
files. As different names they would silently be two classes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from sedmtl.runtime.progress import say

LONG = 5
"""Letters of a name from which on another letter, or one less, makes it a twin and not a word."""


def class_name(text: str) -> str:
    """A name as read from a table, a folder or an option, composed (Unicode's NFC)."""
    return unicodedata.normalize("NFC", text)


def warn_of_twins(names: Iterable[str]) -> None:
    """Warn of classes whose names are nearly the same; they are kept apart."""
    found = twins(names)
    if found:
        more = f" (and {len(found) - 1} more such groups)" if found[1:] else ""
        say(
            f"warning: the names of the classes {' and '.join(map(repr, found[0]))}{more} are "
            "nearly the same; they are kept apart: if they are one, give them one spelling"
        )


def twins(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ in case, accents or separators, or in one letter or two.

    Numbered names, such as `site 1` and `site 2`, are no twins.
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
    """Letters and digits alone, in lower case and without accents."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if letter.isalnum()) or name


def _not_numbered(group: Sequence[str], plain: Mapping[str, str]) -> list[str]:
    """Without the names that differ from one before them in their numbers alone."""
    kept: list[str] = []
    for name in group:
        letters = re.sub(r"\d+", "", plain[name])
        others = [plain[each] for each in kept if re.sub(r"\d+", "", plain[each]) == letters]
        if not others or plain[name] in others:
            kept.append(name)
    return kept
