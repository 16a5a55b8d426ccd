"""Matching of names in label files to recordings.

Other tools write absolute paths of any system, bare file names, or names without extension.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple, TypeVar
from unicodedata import normalize

from sedmtl.runtime.errors import SedmtlError

T = TypeVar("T")


class _Fit(NamedTuple):
    """How well two paths match; a better match compares as greater.

    Attributes:
        is_same: Whether they are the same path.
        is_end: Whether one is the end of the other.
        n_common: Number of common last parts; 0 if the file names differ.
        has_ending: Whether the file names agree including the extension.
    """

    is_same: bool
    is_end: bool
    n_common: int
    has_ending: bool


def by_recording(
    labels: Mapping[str, T], recordings: Iterable[str], path: Path
) -> tuple[dict[str, T], list[str]]:
    """Match labels to recordings by their paths, or else by their file names.

    Args:
        labels: Labels by the names in a label file.
        recordings: Paths of the recordings, relative to the root.
        path: The label file, for error messages.

    Returns:
        The labels by recording, and the names that match none.

    Raises:
        SedmtlError: A name matches several recordings equally well, or two names the same one.
    """
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    for recording in recordings:
        by_stem[_stem(path_parts(recording)[-1])].append(recording)
    names: dict[str, str] = {}
    unknown = []
    for name in labels:
        last = path_parts(name)[-1]
        near = [each for stem in {last, _stem(last)} for each in by_stem.get(stem, ())]
        fitting = [name] if name in near else best_fits(name, near)
        if not fitting:
            unknown.append(name)
        elif len(fitting) > 1:
            raise SedmtlError(
                f"{path}: '{name}' may be {fitting[0]} or {fitting[1]}: name it by its path"
            )
        elif names.setdefault(fitting[0], name) != name:
            raise SedmtlError(
                f"{path}: '{names[fitting[0]]}' and '{name}' both mean {fitting[0]}: use one name"
            )
    return {recording: labels[name] for recording, name in names.items()}, unknown


def best_fits(name: str, others: Iterable[str]) -> list[str]:
    """The paths that match a path best: none, one, or several that match equally well."""
    parts = path_parts(name)
    fits = {other: _fit(parts, path_parts(other)) for other in others}
    best = max(fits.values(), default=None)
    return [other for other, fit in fits.items() if fit == best and fit.n_common]


def _fit(one: Sequence[str], other: Sequence[str]) -> _Fit:
    has_ending = one[-1] == other[-1]
    if not (has_ending or one[-1] == _stem(other[-1]) or other[-1] == _stem(one[-1])):
        return _Fit(False, False, 0, False)
    n_common, shorter = 1, min(len(one), len(other))
    while n_common < shorter and one[-n_common - 1] == other[-n_common - 1]:
        n_common += 1
    return _Fit(one == other, n_common == shorter, n_common, has_ending)


def path_parts(name: str) -> tuple[str, ...]:
    """Parts of a path of any system; if it has slashes, backslashes are ordinary characters."""
    name = normalize("NFC", name)
    path = PureWindowsPath(name) if "\\" in name and "/" not in name else PurePosixPath(name)
    return path.parts or ("",)


def _stem(file_name: str) -> str:
    return PurePosixPath(file_name).stem
