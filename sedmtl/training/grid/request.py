"""The runs that a command or caller requests: a recipe with overrides, over a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sedmtl.config import Config
from sedmtl.runtime import distributed
from sedmtl.runtime.devices import choose_device, choose_precision
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import choose_store
from sedmtl.training.choices import AUTO
from sedmtl.training.config import TrainConfig
from sedmtl.training.grid.plan import plan_runs
from sedmtl.training.grid.planned import planned_data, planned_folds
from sedmtl.training.pretrained import parent_of
from sedmtl.training.recipe import with_recipe
from sedmtl.training.tasks import RECONSTRUCT


def requested_runs(
    project: Config,
    recipe: str,
    asked: Mapping[str, Any],
    network: Mapping[str, Any],
    stores: Sequence[str | None],
    models: Sequence[str],
    alphas: Sequence[Any],
    seeds: Sequence[int],
    folds: Sequence[str],
    n_gpus: int | None,
    *,
    dry_run: bool = False,
) -> list[TrainConfig]:
    """Configurations of the requested runs; see `plan_runs`.

    Args:
        project: Has the stores, the runs to start from, and the ranges of remixing.
        recipe: Name of the recipe.
        asked: Values that override the recipe; None leaves it. `tasks` have weights, `from` is a
            run's name or path, `precision` and `batch_size` may be `auto` (for the latter, the
            recipe's).
        network: Options of networks, by name.
        stores: Names of feature stores; empty or None for the only one.
        models: Names of networks; empty for the recipe's.
        alphas: Weights of the reconstruction; empty for the recipe's.
        seeds: Seeds.
        folds: Held-out folds, `all` or `none`.
        n_gpus: Number of GPUs; None uses the GPU if there is one.
        dry_run: Whether stores may still be missing.

    Raises:
        SedmtlError: As in `plan_runs`; or a store does not exist, there are fewer GPUs, the
            reconstruction is given two weights, or an encoder is to be frozen and none is given.
    """
    if asked["freeze_encoder"] and asked["from"] is None:
        raise SedmtlError("--freeze-encoder needs --from, the run that has the encoder")
    if alphas and RECONSTRUCT in asked["tasks"]:
        raise SedmtlError(
            f"--alpha is the weight of --task {RECONSTRUCT}: expected one of the two, found both"
        )
    common = _common_values(project, recipe, asked, n_gpus)
    planned = planned_data(project) if dry_run else ()
    choose = partial(choose_store, project.work_dir / "features", planned=planned)
    paths = [choose(name, "sedmtl features") for name in stores or [None]]
    models, alphas = models or [common["model"]], alphas or [common["alpha"]]
    known_folds = partial(planned_folds, project)
    return plan_runs(common, network, paths, models, alphas, seeds, folds, known_folds)


def _common_values(
    project: Config, recipe: str, asked: Mapping[str, Any], n_gpus: int | None
) -> dict[str, Any]:
    device, size = choose_device(n_gpus), asked["batch_size"]
    values = {
        **asked,
        "from": parent_of(asked["from"], project.work_dir),
        "batch_size": None if size in (None, AUTO) else int(size),
    }
    if asked["precision"] == AUTO:  # process 0 decides for all
        values["precision"] = distributed.first(lambda: choose_precision(device))
    return with_recipe(recipe, values, project.remix.model_dump(mode="json"))
