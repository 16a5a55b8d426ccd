"""`sedmtl train`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from sedmtl.cli import options, output
from sedmtl.cli.settings_options import takes_network_options
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import NAME_WANTED, is_name
from sedmtl.training import choices

# One kind of option per panel of the help.
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
    if text not in (None, choices.AUTO) and not (text.isdecimal() and int(text)):
        raise typer.BadParameter("should be a number from 1, or 'auto'")
    return text


def _rate(rate: float | None) -> float | None:
    if rate is not None and not choices.is_rate(rate):
        raise typer.BadParameter(f"should be {choices.RATE_WANTED}")
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
        help="Fold to hold out, from 1; none trains the final network on all folds, without a "
        f"score. {options.AGAIN}",
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
        help=f"SNR of the feature store, if there are several. {options.AGAIN}",
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
        help="Weight of --task reconstruct; auto and dwa adapt it. Default: 0.001, or the "
        f"recipe's. {options.AGAIN}",
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
    what(
        "--seed",
        min=choices.LOWEST["seed"],
        help=f"Seed of the weights and of the order of clips. {options.AGAIN}",
    ),
]
RecipeName = Annotated[
    choices.Recipe,
    how(
        "--recipe",
        help="paper: as published. strong: the best detector that we measured, at a fraction of "
        "the cost: pooled network, new mixtures in every epoch. Other options override it.",
    ),
]
Remix = Annotated[
    bool | None,
    how(
        "--remix/--no-remix",
        help="Mix the training folds' recordings anew in every epoch; see remix in data.yaml. "
        "Default: no, or the recipe's.",
    ),
]
Supervision = Annotated[
    choices.Supervision,
    how(help="strong: also train on the known times of events, to measure what weak labels lack."),
]
Epochs = Annotated[
    int | None,
    how(
        "--epochs",
        min=choices.LOWEST["epochs"],
        help="Passes over the training clips. Default: 50, or the recipe's.",
    ),
]
BatchSize = Annotated[
    str | None,
    how(
        "--batch-size",
        callback=_batch_size,
        metavar="N|auto",
        help="Clips per step. auto: the recipe's batch, split into as many parts as memory needs; "
        "their gradients add up, but batch norm normalises each part by itself. Default: 24, or "
        "the recipe's.",
    ),
]
Rate = Annotated[
    float | None,
    how("--lr", callback=_rate, help="Learning rate of Adam. Default: 0.001, or the recipe's."),
]
Schedule = Annotated[
    choices.Schedule | None,
    how(
        help="Learning rate over time. plateau: divided by 10 when validation stalls; cosine: 50 "
        "steps of warm-up, then down to 0. Default: plateau, or the recipe's."
    ),
]
Precision = Annotated[
    choices.Precision,
    how(help="auto: bfloat16 where the hardware supports it."),
]
From = Annotated[
    str | None,
    how(
        "--from",
        metavar="RUN",
        help="Start from the weights and standardiser of this run (name or path; {fold} stands for "
        "the fold), which has the same network and features. Classes are matched by name.",
    ),
]
FreezeEncoder = Annotated[
    bool,
    how(
        "--freeze-encoder",
        help="Keep the encoder of --from unchanged, including the statistics of batch norm.",
    ),
]
ClassWeights = Annotated[
    bool,
    how(
        "--class-weights",
        help="Weight the loss of the clip scores so that clips with and without a class count the "
        "same.",
    ),
]
Balanced = Annotated[
    bool,
    how(
        "--balanced",
        help="Draw every class about equally often: classes take turns (with --remix, they are "
        "equally likely). Clips without labels count as one more class.",
    ),
]
Resume = Annotated[bool, where("--resume", help="Resume an interrupted run; a grid always does.")]
Force = Annotated[bool, where("--force", help="Delete the old run and start over.")]
DryRun = Annotated[
    bool,
    where(
        "--dry-run",
        help="Only list the runs, their time and memory, and the data to make first. Needs no "
        "store.",
    ),
]
Gpus = Annotated[
    int | None,
    where(
        "--gpus",
        min=choices.LOWEST["gpus"],
        help="Default: a GPU if there is one; 0 uses the CPU. Several GPUs share the batches of "
        "one run, or train one run of a grid each. On several machines: torchrun -m sedmtl train, "
        "without --gpus.",
    ),
]
RunName = Annotated[
    str | None,
    where("--name", callback=_run_name, help="Name of the run folder; only for a single run."),
]
TensorBoard = Annotated[
    bool, where("--tensorboard", help="Also write TensorBoard event files into the run folder.")
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
    """Train a network with one fold held out (or none), or a grid of networks.

    A grid is every combination of the repeatable options. Finished runs are skipped, interrupted
    ones resumed.
    """
    from sedmtl.report.held_out_figure import draw_held_out
    from sedmtl.runtime import distributed
    from sedmtl.store import data_name
    from sedmtl.training.grid.forecast import outlook
    from sedmtl.training.grid.request import requested_runs
    from sedmtl.training.grid.runs import train_all
    from sedmtl.training.job import TrainOptions
    from sedmtl.training.tasks import read_tasks

    with distributed.session(gpus):
        project = options.load_project(config)
        asked = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "schedule": schedule,
                 "remix": remix, "supervision": supervision, "precision": precision,
                 "from": from_run, "freeze_encoder": freeze_encoder, "balanced": balanced,
                 "class_weights": class_weights, "tasks": read_tasks(task or [])}  # fmt: skip
        stores = [*(data or []), *map(data_name, snr or [])]
        grid = (stores, model or [], alpha or [], seed, fold)
        runs = requested_runs(project, recipe, asked, network, *grid, gpus, dry_run=dry_run)
        fit_memory, debug = batch_size == choices.AUTO, options.is_debugging(context)
        how = TrainOptions(name, gpus, resume, force, tensorboard, fit_memory, str(config), debug,
                           draw_held_out)  # fmt: skip
        made: Any = outlook(project, runs, how) if dry_run else train_all(project, runs, how)
        output.echo(made if distributed.rank() == 0 else [])
