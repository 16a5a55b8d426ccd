"""Distribution of the scenes over the folds and their mixtures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from sedmtl.config import Mixing
from sedmtl.data.corpora import Scene
from sedmtl.runtime.errors import SedmtlError

Item = TypeVar("Item")


class SceneShare(NamedTuple):
    """The scenes of one fold; no scene is in two folds.

    Attributes:
        of_mixtures: The scene of each mixture, in order.
        own: All scenes of the fold, each once, including those that no mixture uses.
    """

    of_mixtures: list[Scene]
    own: list[Scene]

    def without(self, scenes: Iterable[Scene]) -> tuple[Scene, ...]:
        """The fold's own scenes except the given ones."""
        names = {scene.name for scene in scenes}
        return tuple(scene for scene in self.own if scene.name not in names)


def share_scenes(
    scenes: Sequence[Scene], mixing: Mixing, rng: np.random.Generator
) -> list[SceneShare]:
    """Shuffle the scenes and divide them among the folds.

    Each scene is used by one mixture or, with `reuse_scenes`, by several of one fold.

    Raises:
        SedmtlError: There are fewer scenes than the protocol needs.
    """
    if mixing.location_disjoint:
        shares = owned = _share_locations(scenes, mixing.folds, rng)
    else:
        order = shuffled(scenes, rng)
        # Without reuse the folds take the shuffled scenes in order, as in the paper.
        size = len(scenes) // mixing.folds
        if not mixing.reuse_scenes:
            size = min(size, mixing.mixtures_per_fold)
        shares = [order[k * size : (k + 1) * size] for k in range(mixing.folds)]
        rest = order[mixing.folds * size :]
        owned = [[*share, *rest[k :: mixing.folds]] for k, share in enumerate(shares)]
    _check_enough(min(map(len, shares)), scenes, mixing)
    n_mixtures = mixing.mixtures_per_fold
    return [
        SceneShare(repeated(share, n_mixtures, rng, first=share), own)
        for share, own in zip(shares, owned, strict=True)
    ]


def choose_validation(scenes: Sequence[Scene], n_wanted: int) -> list[bool]:
    """Choose the mixtures of a fold for inner validation, given the scene of each.

    All mixtures of a scene are chosen together, so that training never sees it. If every scene is
    used more often than `n_wanted`, the last mixtures of the fold are chosen.
    """
    uses = Counter(scene.name for scene in scenes)
    chosen: set[str] = set()
    n_left = n_wanted
    for name in reversed(uses):
        if uses[name] <= n_left:
            chosen.add(name)
            n_left -= uses[name]
    if not chosen:
        return [i >= len(scenes) - n_wanted for i in range(len(scenes))]
    return [scene.name in chosen for scene in scenes]


def shuffled(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """The items in a random order."""
    return [items[i] for i in rng.permutation(len(items))]


def repeated(
    items: Sequence[Item], n_wanted: int, rng: np.random.Generator, first: Sequence[Item] = ()
) -> list[Item]:
    """`first`, followed by all items in new random orders until there are `n_wanted`."""
    chosen = list(first)
    while len(chosen) < n_wanted:
        chosen += shuffled(items, rng)
    return chosen[:n_wanted]


def _share_locations(
    scenes: Sequence[Scene], n_folds: int, rng: np.random.Generator
) -> list[list[Scene]]:
    """Shuffle the locations; assign each to the fold that has the fewest scenes so far."""
    locations: dict[str, list[Scene]] = {}
    for scene in scenes:
        locations.setdefault(scene.location, []).append(scene)
    shares: list[list[Scene]] = [[] for _ in range(n_folds)]
    for group in shuffled(list(locations.values()), rng):
        min(shares, key=len).extend(group)
    return [shuffled(share, rng) for share in shares]


def _check_enough(n_in_smallest: int, scenes: Sequence[Scene], mixing: Mixing) -> None:
    wanted = mixing.mixtures_per_fold
    if n_in_smallest >= wanted or (n_in_smallest and mixing.reuse_scenes):
        return
    n_needed = mixing.folds * (1 if mixing.reuse_scenes else wanted)
    apart, of_locations = "", ""
    if mixing.location_disjoint:
        apart = " with no location in two folds"
        of_locations = f" of {len({scene.location for scene in scenes})} locations"
    hint = "add scenes or lower mixing.folds"
    if n_in_smallest:
        hint = (
            f"set mixing.mixtures_per_fold to at most {n_in_smallest}, or mixing.reuse_scenes to "
            "true"
        )
    raise SedmtlError(
        f"{mixing.folds} folds of {wanted} mixtures need {n_needed} scenes{apart}, found "
        f"{len(scenes)}{of_locations}: {hint}"
    )
