"""The command line: parse, read `data.yaml`, call the stage, print.

torch and everything that imports it are imported inside the commands, so that `--help` answers
at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from typer.core import TyperGroup

import sedmtl
from sedmtl.errors import SedmtlError

if TYPE_CHECKING:
    from sedmtl.config import Config


class Commands(TyperGroup):
    """Turns what goes wrong into one sentence on stderr and the exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with 1 for errors of input, 130 for an interruption."""
        try:
            return super().invoke(ctx)
        except SedmtlError as error:
            if _debug(ctx):
                raise
            _fail(f"error: {error}", 1)
        except KeyboardInterrupt:
            _fail("interrupted: the same command goes on where it was (train: with --resume)", 130)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if _debug(ctx) or type(error).__module__.startswith(("click", "typer")):
                raise
            _fail(f"error: {_explain(error)}; --debug shows the traceback", 1)


def _debug(ctx: Any) -> bool:
    return bool(ctx.ensure_object(dict).get("debug"))


def _fail(sentence: str, code: int) -> None:
    from sedmtl.progress import say

    say(sentence)
    raise typer.Exit(code)


def _explain(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error} ({error.filename or 'no file named'})"
    return f"sedmtl has a defect: {type(error).__name__}: {error}"


def _remember_debug(ctx: typer.Context, value: bool) -> bool:
    ctx.find_root().ensure_object(dict)["debug"] = value
    return value


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"sedmtl {sedmtl.__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    help="Weakly labelled sound event detection: mix → features → train → eval → visualize.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigPath = Annotated[Path, typer.Option("--config", metavar="FILE", help="The data.yaml to use.")]
Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_remember_debug, help="Show the traceback of an error."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads; by default one a core.")
]
Snrs = Annotated[
    list[float] | None,
    typer.Option("--snr", help="SNR in dB; may be given several times. Default: all."),
]


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Weakly labelled sound event detection: mix → features → train → eval → visualize."""


@app.command("demo")
def demo_command(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to make it.")] = Path(
        "demo"
    ),
    workers: Workers = None,
    debug: Debug = False,  # noqa: ARG001 - its callback acts
) -> None:
    """Make a whole small project on the built-in corpus: no data needed, some minutes."""
    from sedmtl.stages.demo import demo
    from sedmtl.stages.eval import show

    made = demo(folder, _n_workers(workers))
    show(made.rows, Console(highlight=False))
    typer.echo(f"picture of {made.clip_path.name}, a mixture it was not trained on:")
    typer.echo(f"  {made.picture_path}")
    other = made.clip_path.relative_to(folder).with_name(made.other_clip)
    typer.echo("what next:")
    for command, purpose in (
        (f"cd {folder}", "the project; edit its data.yaml"),
        (f"sedmtl visualize {other}", "look at another mixture"),
        (f"sedmtl train --fold 2 {made.train_options}", "the next fold of the cross-validation"),
        ("sedmtl eval", "both folds, averaged"),
    ):
        typer.echo(f"  {command}\n      {purpose}")


@app.command("mix")
def mix_command(
    snr: Snrs = None,
    stems: Annotated[bool, typer.Option("--stems", help="Store events and scene apart.")] = False,
    wav: Annotated[
        int, typer.Option("--wav", min=0, help="Also write the first N mixtures as WAV files.")
    ] = 0,
    workers: Workers = None,
    config: ConfigPath = Path("data.yaml"),
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Mix events into scenes: one store an SNR, and the plan with its strong labels."""
    from sedmtl.stages.mix import MixOptions, mix

    settings = _load(config)
    snrs_db = tuple(dict.fromkeys(snr or settings.mixing.snrs_db))
    for path in mix(settings, MixOptions(snrs_db, stems, wav, _n_workers(workers))):
        typer.echo(path)


@app.command("features")
def features_command(
    snr: Snrs = None,
    workers: Workers = None,
    config: ConfigPath = Path("data.yaml"),
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Log-mel features of the mixtures, or of your own recordings (corpus.clips)."""
    from sedmtl.stages.features import features
    from sedmtl.stores import data_name

    names = [data_name(snr_db) for snr_db in snr or []]
    for path in features(_load(config), names, _n_workers(workers)):
        typer.echo(path)


@app.command("train")
def train_command(
    fold: Annotated[int, typer.Option("--fold", help="The fold to hold out, from 1.")],
    snr: Annotated[
        float | None, typer.Option("--snr", help="SNR in dB of the store; if there are several.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="The store by name: snr_10, clips.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="The network.")] = "2apae",
    attention: Annotated[
        Literal["released", "equations"], typer.Option(help="Form of the attention.")
    ] = "released",
    alpha: Annotated[
        float, typer.Option("--alpha", min=0, help="Weight of the reconstruction.")
    ] = 0.001,
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=0, help="Default: a GPU if there is one.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 50,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 24,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate of Adam.")] = 1e-3,
    width: Annotated[
        int, typer.Option("--width", min=1, help="Channels of the first block; 32 is the paper's.")
    ] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(help="auto: bfloat16 where the hardware computes in it."),
    ] = "auto",
    name: Annotated[str | None, typer.Option("--name", help="Name of the run folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run folder.")] = False,
    config: ConfigPath = Path("data.yaml"),
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train a network with one fold held out."""
    from sedmtl.stages.train import train
    from sedmtl.stores import choose_store, data_name
    from sedmtl.training import Recipe, choose_device, choose_precision

    settings = _load(config)
    wanted = data or (data_name(snr) if snr is not None else None)
    store = choose_store(settings.work_dir / "features", wanted, "sedmtl features")
    recipe = Recipe(
        data=store.stem, fold=fold, model=model, attention=attention, width=width, alpha=alpha,
        epochs=epochs, batch_size=batch_size, lr=lr, seed=seed,
        precision=choose_precision(choose_device(gpus)) if precision == "auto" else precision,
    )  # fmt: skip
    typer.echo(
        train(settings, store, recipe, run_name=name, n_gpus=gpus, resume=resume, force=force)
    )


@app.command("eval")
def eval_command(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Default: all finished runs.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the table here, too.")] = None,
    config: ConfigPath = Path("data.yaml"),
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Score the held-out folds: micro-P, macro-P and AUC, averaged over folds."""
    from sedmtl.stages.eval import evaluate, show

    show(evaluate(_load(config), runs or [], json), Console(highlight=False))


@app.command("visualize")
def visualize_command(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="Any audio file.")],
    run: Annotated[str | None, typer.Option("--run", help="Default: the newest one.")] = None,
    start: Annotated[
        float, typer.Option("--start", min=0, help="Where in a longer file to begin, in seconds.")
    ] = 0.0,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Strong labels (TSV) to draw, if you have any.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The picture's path.")] = None,
    config: ConfigPath = Path("data.yaml"),
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Draw what the network saw in an audio file: the seven panels of the paper's figure 3."""
    from sedmtl.stages.visualize import visualize

    path, used, prediction = visualize(
        _load(config), audio, run_name=run, start_s=start, labels_path=labels, out_path=out
    )
    typer.echo(f"run {used.name}")
    for label, score in prediction.ranking()[:5]:
        typer.echo(f"{score:6.3f}  {label}")
    typer.echo(path)


def _load(path: Path) -> Config:
    from sedmtl.config import load_config

    return load_config(path)


def _n_workers(asked: int | None) -> int:
    from sedmtl.workers import all_cores

    return asked or all_cores()
