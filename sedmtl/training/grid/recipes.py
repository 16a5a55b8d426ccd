"""Which runs a command asks for: every combination of data, network, weight, seed and fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from sedmtl.models import MODELS, has_decoder
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import folds_of
from sedmtl.training.config import Alpha, Recipe

ALL = "all"


def plan_runs(
    base: Recipe,
    store_paths: Sequence[Path],
    models: Sequence[str],
    alphas: Sequence[str],
    seeds: Sequence[int],
    folds: Sequence[str],
) -> list[Recipe]:
    """One recipe a run, each once, folds innermost.

    A network without a decoder has no auxiliary task to weigh: it is run once, with alpha 0. What
    is said of 2APAE's attention and decoder is not said of the others.

    Args:
        base: All that the runs have in common.
        store_paths: Feature stores.
        models: Names of networks; `all` stands for the paper's five.
        alphas: Weights of the auxiliary task: numbers, or `auto`.
        seeds: Seeds.
        folds: Held-out folds; `all` stands for those of the store.

    Raises:
        SedmtlError: Two weights are so near that their runs would have one name.
    """
    names = [name for word in models for name in (MODELS if word == ALL else [word])]
    weights = [_read_alpha(word) for word in alphas]
    recipes = [
        _of_network(replace(base, data=path.stem, model=model, alpha=alpha, seed=seed, fold=fold))
        for path in store_paths
        for model, alpha, seed, fold in product(names, weights, seeds, _read_folds(folds, path))
    ]
    recipes = list(dict.fromkeys(recipes))
    names = [recipe.name for recipe in recipes]
    for name in names:
        if names.count(name) > 1:
            raise SedmtlError(
                f"two of the runs asked for would be {name}: expected weights of --alpha that "
                "differ in their first six digits"
            )
    return recipes


def check_name(run_name: str | None, recipes: Sequence[Recipe]) -> None:
    """Refuse one name for the folders of several runs.

    Raises:
        SedmtlError: A grid is given a name.
    """
    if run_name and len(recipes) > 1:
        raise SedmtlError(f"--name is for a single run: this grid has {len(recipes)}")


def _of_network(recipe: Recipe) -> Recipe:
    """The recipe without what its network does not have."""
    if has_decoder(recipe.model):
        return recipe
    return replace(
        recipe, alpha=0.0, attention="released", time_attention="dense", reconstruction="relu"
    )


def _read_alpha(word: str) -> Alpha:
    return "auto" if word == "auto" else float(word)


def _read_folds(words: Sequence[str], store_path: Path) -> list[int]:
    known = folds_of(store_path) if ALL in words else []
    return [fold for word in words for fold in (known if word == ALL else [int(word)])]
