"""Names of classes: one spelling for each.

The same letters can be stored in two ways, composed and decomposed; macOS decomposes the names of
files. As different names they would silently be two classes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from sedmtl.runtime.progress import say


def class_name(text: str) -> str:
    """A name as read from a table, a folder or an option, composed (Unicode's NFC)."""
    return unicodedata.normalize("NFC", text)


def warn_of_twins(names: Iterable[str]) -> None:
    """Warn of classes that differ in case alone; they are kept apart."""
    by_lower: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        by_lower.setdefault(name.lower(), []).append(name)
    twins = [group for group in by_lower.values() if len(group) > 1]
    if twins:
        more = f" (and {len(twins) - 1} more such groups)" if twins[1:] else ""
        say(
            f"warning: the classes {' and '.join(map(repr, twins[0]))}{more} differ in case alone "
            "and are kept apart: if they are one, give them one spelling"
        )
