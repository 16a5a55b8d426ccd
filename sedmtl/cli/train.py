"""`sedmtl train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sedmtl.cli import options, output
from sedmtl.cli.settings_options import takes_network_options
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import NAME_WANTED, is_name

if TYPE_CHECKING:
    from sedmtl.config import Config
    from sedmtl.training.config import TrainConfig
    from sedmtl.training.job import TrainOptions

AUTO = "auto"

# An option of each part of the help.
what = partial(typer.Option, rich_help_panel="What to train (repeatable options span a grid)")
how = partial(typer.Option, rich_help_panel="How to train")
where = partial(typer.Option, rich_help_panel="Where and with what")


def _fold(text: str) -> str:
    if text not in ("all", "none") and not (text.isdecimal() and int(text)):
        raise typer.BadParameter("should be a number from 1, 'all' or 'none'")
    return text


def _alpha(text: str) -> str:
    from sedmtl.training.weights import read_weight

    try:
        read_weight("reconstruct", text)
    except SedmtlError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def _batch_size(text: str | None) -> str | None:
    if text not in (None, AUTO) and not (text.isdecimal() and int(text)):
        raise typer.BadParameter("should be a number from 1, or 'auto'")
    return text


def _rate(rate: float | None) -> float | None:
    if rate is not None and not 0 < rate < float("inf"):
        raise typer.BadParameter("should be a number above 0")
    return rate


def _run_name(name: str | None) -> str | None:
    if name is not None and not is_name(name):
        raise typer.BadParameter(f"should be {NAME_WANTED}")
    return name


Folds = Annotated[
    list[str],
    what(
        "--fold",
        parser=_fold,
        metavar="N|all|none",
        help="The fold to hold out, from 1; none trains the final network on all of them, without "
        f"a score. {options.AGAIN}",
    ),
]
Models = Annotated[
    list[str] | None,
    what(
        "--model",
        metavar="NAME",
        help="2apae, gap, gmp, gwrp, atrous, or all of these five; pooled and crnn are cheaper; "
        "probe and gru take the frames of features.encoder. "
        f"Default: 2apae, or the recipe's. {options.AGAIN}",
    ),
]
StoreSnrs = Annotated[
    list[float] | None,
    what(
        "--snr",
        metavar="DB",
        help=f"SNR of the feature store, where there are several. {options.AGAIN}",
    ),
]
StoreNames = Annotated[
    list[str] | None,
    what(
        "--data", metavar="NAME", help=f"Name of the feature store: snr_10, clips. {options.AGAIN}"
    ),
]
Alphas = Annotated[
    list[str] | None,
    what(
        "--alpha",
        parser=_alpha,
        metavar="X|auto|dwa",
        help="Weight of --task reconstruct; auto and dwa find it. Default: 0.001, or the recipe's. "
        f"{options.AGAIN}",
    ),
]
Tasks = Annotated[
    list[str] | None,
    how(
        "--task",
        metavar="NAME[=WEIGHT]",
        help="An auxiliary task: reconstruct (the paper's), denoise, separate, count, active, "
        "scene. Its weight is a number from 0, auto (learned) or dwa (higher for tasks that learn "
        "slowly); 0 turns it off. Default: reconstruct=0.001, or the recipe's. "
        f"{options.AGAIN}",
    ),
]
Seeds = Annotated[
    list[int],
    what("--seed", min=0, help=f"Seed of the weights and of the order of clips. {options.AGAIN}"),
]
RecipeName = Annotated[
    Literal["paper", "strong"],
    how(
        "--recipe",
        help="paper: as published. strong: the best detector that we measured, at a fraction of "
        "the cost: pooled network, new mixtures in every epoch. Other options overrule it.",
    ),
]
Remix = Annotated[
    bool | None,
    how(
        "--remix/--no-remix",
        help="Draw new mixtures of the training folds' recordings in every epoch; see remix in "
        "data.yaml. Default: no, or the recipe's.",
    ),
]
Supervision = Annotated[
    Literal["weak", "strong"],
    how(help="strong: also train on the known times of events, to see what weak labels lack."),
]
Epochs = Annotated[
    int | None,
    how("--epochs", min=1, help="Passes over the training clips. Default: 50, or the recipe's."),
]
BatchSize = Annotated[
    str | None,
    how(
        "--batch-size",
        callback=_batch_size,
        metavar="N|auto",
        help="Clips per step. auto: the recipe's, taken in as many parts as memory needs, whose "
        "gradients add up (batch norm normalises each part by itself). Default: 24, or the "
        "recipe's.",
    ),
]
Rate = Annotated[
    float | None,
    how("--lr", callback=_rate, help="Learning rate of Adam. Default: 0.001, or the recipe's."),
]
Schedule = Annotated[
    Literal["plateau", "cosine"] | None,
    how(
        help="Of the learning rate. plateau: a tenth when validation stalls; cosine: 50 steps of "
        "warm-up, then down to 0. Default: plateau, or the recipe's."
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    how(help="auto: bfloat16 where the hardware supports it."),
]
From = Annotated[
    str | None,
    how(
        "--from",
        metavar="RUN",
        help="Begin with the weights and standardiser of this run (name or path; {fold} stands for "
        "the fold), of the same network and features. Classes are matched by name.",
    ),
]
FreezeEncoder = Annotated[
    bool,
    how(
        "--freeze-encoder",
        help="Keep the encoder of --from as it is, batch norm's statistics included.",
    ),
]
ClassWeights = Annotated[
    bool,
    how(
        "--class-weights",
        help="Weigh the loss of the clip scores so that, of each class, clips with it and clips "
        "without it count the same.",
    ),
]
Balanced = Annotated[
    bool,
    how(
        "--balanced",
        help="Draw every class about equally often: classes take turns (with --remix: are equally "
        "likely). Clips without labels are a class of their own.",
    ),
]
Resume = Annotated[bool, where("--resume", help="Resume an interrupted run; a grid always does.")]
Force = Annotated[bool, where("--force", help="Delete the old run and start over.")]
DryRun = Annotated[
    bool,
    where(
        "--dry-run",
        help="Train nothing; list the runs, their time and memory, and what has to be made first. "
        "Needs no store.",
    ),
]
Gpus = Annotated[
    int | None,
    where(
        "--gpus",
        min=0,
        help="Default: a GPU if there is one; 0 uses the CPU. Several share the batches of one "
        "run, or train one run of a grid each. Across machines: torchrun -m sedmtl train, without "
        "--gpus.",
    ),
]
RunName = Annotated[
    str | None,
    where("--name", callback=_run_name, help="Name of the run folder; for a single run."),
]
TensorBoard = Annotated[
    bool, where("--tensorboard", help="Also write TensorBoard's event files into the run folder.")
]


@takes_network_options("Network")
def command(
    context: typer.Context,
    fold: Folds,
    model: Models = None,
    snr: StoreSnrs = None,
    data: StoreNames = None,
    alpha: Alphas = None,
    seed: Seeds = [0],  # noqa: B006 - typer shows it and does not change it
    *,
    network: Mapping[str, Any],
    recipe: RecipeName = "paper",
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    schedule: Schedule = None,
    task: Tasks = None,
    remix: Remix = None,
    supervision: Supervision = "weak",
    precision: Precision = "auto",
    from_run: From = None,
    freeze_encoder: FreezeEncoder = False,
    class_weights: ClassWeights = False,
    balanced: Balanced = False,
    resume: Resume = False,
    force: Force = False,
    dry_run: DryRun = False,
    gpus: Gpus = None,
    name: RunName = None,
    tensorboard: TensorBoard = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Train a network with one fold held out, or none, or a grid of networks.

    A grid is every combination of the repeatable options; finished runs are skipped, interrupted
    ones resumed.
    """
    from sedmtl.report.held_out_figure import draw_held_out
    from sedmtl.runtime import distributed
    from sedmtl.training.grid.plan import plan_runs
    from sedmtl.training.grid.workload import planned_data, planned_folds
    from sedmtl.training.job import TrainOptions

    with distributed.session(gpus):
        settings = options.load_project(config)
        asked = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "schedule": schedule,
                 "remix": remix, "supervision": supervision, "precision": precision,
                 "from": from_run, "freeze_encoder": freeze_encoder, "balanced": balanced,
                 "class_weights": class_weights}  # fmt: skip
        common = _common(settings, recipe, {**asked, "alpha": alpha, "tasks": task or []}, gpus)
        models, alphas = model or [common["model"]], alpha or [common["alpha"]]
        stores = _choose_stores(settings, data, snr, planned_data(settings) if dry_run else ())
        folds_of = partial(planned_folds, settings)
        configs = plan_runs(common, network, stores, models, alphas, seed, fold, folds_of)
        how = (name, gpus, resume, force, tensorboard, batch_size == AUTO, str(config))
        rest = (options.is_debugging(context), draw_held_out)
        output.echo(_train(settings, configs, TrainOptions(*how, *rest), dry_run=dry_run))


def _train(
    project: Config, configs: Sequence[TrainConfig], how: TrainOptions, *, dry_run: bool
) -> Sequence[str | Path]:
    """Train, or foresee it; returns what is printed."""
    from sedmtl.runtime import distributed
    from sedmtl.training.grid.forecast import outlook
    from sedmtl.training.grid.runs import train_all

    if dry_run:
        fits = {"force": how.force, "fit_memory": how.fit_memory}
        return outlook(project, configs, how.n_gpus, how.run_name, **fits)
    runs = train_all(project, configs, how)
    return runs if distributed.rank() == 0 else []


def _common(
    project: Config, recipe: str, asked: dict[str, Any], gpus: int | None
) -> dict[str, Any]:
    """What the runs have in common: the recipe, and what was asked for in its place."""
    from sedmtl.runtime import distributed
    from sedmtl.runtime.devices import choose_device, choose_precision
    from sedmtl.training.grid.plan import check_alpha
    from sedmtl.training.pretrained import parent_of
    from sedmtl.training.recipe import with_recipe
    from sedmtl.training.tasks import read_tasks

    if asked["freeze_encoder"] and not asked["from"]:
        raise typer.BadParameter("--freeze-encoder needs --from, the run that has the encoder")
    asked["tasks"] = check_alpha(read_tasks(asked["tasks"]), asked["alpha"])
    asked["from"] = parent_of(asked["from"], project.work_dir)
    device = choose_device(gpus)
    if asked["precision"] == AUTO:  # the first process chooses for all
        asked["precision"] = distributed.first(lambda: choose_precision(device))
    size = asked["batch_size"]
    asked["batch_size"] = int(size) if size and size != AUTO else None
    return with_recipe(recipe, asked, project.remix.model_dump(mode="json"))


def _choose_stores(
    project: Config, names: list[str] | None, snrs_db: list[float] | None, planned: Sequence[str]
) -> list[Path]:
    from sedmtl.store import choose_store, data_name

    wanted: list[str | None] = [*(names or []), *(data_name(snr_db) for snr_db in snrs_db or [])]
    folder = project.work_dir / "features"
    return [choose_store(folder, name, "sedmtl features", planned) for name in wanted or [None]]
