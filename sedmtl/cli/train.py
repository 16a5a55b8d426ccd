"""`sedmtl train`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sedmtl.cli import options
from sedmtl.cli.network_options import takes_network_options

if TYPE_CHECKING:
    from sedmtl.config import Config

WHAT = "What to train (repeatable options span a grid)"
HOW = "How to train"
WHERE = "Where and with what"


def _fold(text: str) -> str:
    if text != "all" and not (text.isdecimal() and int(text)):
        raise typer.BadParameter("should be a number from 1, or 'all'")
    return text


def _alpha(text: str) -> str:
    try:
        fits = text == "auto" or 0 <= float(text) < float("inf")
    except ValueError:
        fits = False
    if not fits:
        raise typer.BadParameter("should be a number from 0, or 'auto'")
    return text


def _rate(rate: float) -> float:
    if not 0 < rate < float("inf"):
        raise typer.BadParameter("should be a number above 0")
    return rate


def _run_name(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"\w[\w.+-]*", name):
        raise typer.BadParameter(
            "should be a folder name of letters, digits, '_', '.', '+' and '-'"
        )
    return name


Folds = Annotated[
    list[str],
    typer.Option(
        "--fold",
        parser=_fold,
        metavar="N|all",
        help=f"The fold to hold out, from 1. {options.AGAIN}",
        rich_help_panel=WHAT,
    ),
]
Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="NAME",
        help=f"2apae, gap, gmp, gwrp, atrous, or all five. {options.AGAIN}",
        rich_help_panel=WHAT,
    ),
]
StoreSnrs = Annotated[
    list[float] | None,
    typer.Option(
        "--snr",
        metavar="DB",
        help=f"SNR of the feature store, where there are several. {options.AGAIN}",
        rich_help_panel=WHAT,
    ),
]
StoreNames = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="NAME",
        help=f"Name of the feature store: snr_10, clips. {options.AGAIN}",
        rich_help_panel=WHAT,
    ),
]
Alphas = Annotated[
    list[str],
    typer.Option(
        "--alpha",
        parser=_alpha,
        metavar="X|auto",
        help=f"Weight of the reconstruction task; auto learns it. {options.AGAIN}",
        rich_help_panel=WHAT,
    ),
]
Seeds = Annotated[
    list[int],
    typer.Option(
        "--seed",
        min=0,
        help=f"Seed of the weights and of the order of clips. {options.AGAIN}",
        rich_help_panel=WHAT,
    ),
]
Epochs = Annotated[
    int,
    typer.Option("--epochs", min=1, help="Passes over the training clips.", rich_help_panel=HOW),
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", min=1, help="Clips per step.", rich_help_panel=HOW)
]
Rate = Annotated[
    float,
    typer.Option("--lr", callback=_rate, help="Learning rate of Adam.", rich_help_panel=HOW),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="auto: bfloat16 where the hardware supports it.", rich_help_panel=HOW),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Resume an interrupted run; a grid always does.", rich_help_panel=WHERE
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Delete the old run and start over.", rich_help_panel=WHERE)
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Train nothing; list the runs and how long they would take.",
        rich_help_panel=WHERE,
    ),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        "--gpus",
        min=0,
        help="Default: a GPU if there is one; 0 uses the CPU. Several share the batches of one "
        "run, or train one run of a grid each. Across machines: torchrun -m sedmtl train, without "
        "--gpus.",
        rich_help_panel=WHERE,
    ),
]
RunName = Annotated[
    str | None,
    typer.Option(
        "--name",
        callback=_run_name,
        help="Name of the run folder; for a single run.",
        rich_help_panel=WHERE,
    ),
]
TensorBoard = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        help="Also write TensorBoard's event files into the run folder.",
        rich_help_panel=WHERE,
    ),
]


@takes_network_options
def command(
    context: typer.Context,
    fold: Folds,
    model: Models = ["2apae"],  # noqa: B006 - typer shows it and does not change it
    snr: StoreSnrs = None,
    data: StoreNames = None,
    alpha: Alphas = ["0.001"],  # noqa: B006
    seed: Seeds = [0],  # noqa: B006
    *,
    network: Mapping[str, Any],
    epochs: Epochs = 50,
    batch_size: BatchSize = 24,
    lr: Rate = 1e-3,
    precision: Precision = "auto",
    resume: Resume = False,
    force: Force = False,
    dry_run: DryRun = False,
    gpus: Gpus = None,
    name: RunName = None,
    tensorboard: TensorBoard = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Train a network with one fold held out, or a grid of networks.

    A grid is every combination of the repeatable options; finished runs are skipped, interrupted
    ones resumed.
    """
    from sedmtl.report.held_out_figure import draw_held_out
    from sedmtl.runtime import distributed
    from sedmtl.runtime.devices import choose_device, choose_precision
    from sedmtl.training.grid.forecast import describe, forecast
    from sedmtl.training.grid.plan import check_options, plan_runs
    from sedmtl.training.job import TrainOptions
    from sedmtl.training.train import train

    with distributed.session(gpus):
        settings = options.load_project(config)
        device = choose_device(gpus)
        # The first process chooses for all.
        computed = (
            distributed.first(lambda: choose_precision(device))
            if precision == "auto"
            else precision
        )
        check_options(network, model)
        common = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "precision": computed}
        stores = _choose_stores(settings, data, snr)
        configs = plan_runs({**common, **network}, stores, model, alpha, seed, fold)
        if dry_run:
            forecasts = forecast(settings.work_dir, configs, device, name, force=force)
            options.echo_all(describe(forecasts, max(gpus or 1, 1)))
            return
        debug = options.is_debugging(context)
        how = TrainOptions(
            name, gpus, resume, force, tensorboard, str(config), debug, draw_held_out
        )
        runs = train(settings, configs, how)
        options.echo_all(runs if distributed.rank() == 0 else [])


def _choose_stores(
    project: Config, names: list[str] | None, snrs_db: list[float] | None
) -> list[Path]:
    from sedmtl.store import choose_store, data_name

    wanted: list[str | None] = [*(names or []), *(data_name(snr_db) for snr_db in snrs_db or [])]
    folder = project.work_dir / "features"
    return [choose_store(folder, name, "sedmtl features") for name in wanted or [None]]
