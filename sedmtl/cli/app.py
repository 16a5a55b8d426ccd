"""The command line: parse, read `data.yaml`, call the stage, print.

torch and everything that imports it are imported inside the commands, so that `--help` answers
at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

import sedmtl
from sedmtl.cli import options
from sedmtl.cli.network_options import takes_network_options
from sedmtl.runtime import memory
from sedmtl.runtime.errors import SedmtlError, is_out_of_memory
from sedmtl.runtime.interruption import EXIT_CODE, ending_soon

if TYPE_CHECKING:
    from sedmtl.config import Config


DATA_YAML = Path("data.yaml")

INTERRUPTED = "interrupted: the same command goes on where it was (train: with --resume)"


class Commands(TyperGroup):
    """Turns what goes wrong into one sentence on stderr and the exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with 1 for errors of input, 130 for an interruption."""
        try:
            with ending_soon(INTERRUPTED):
                memory.keep()
                return super().invoke(ctx)
        except SedmtlError as error:
            if _debug(ctx):
                raise
            _fail(f"error: {error}", 1)
        except KeyboardInterrupt:
            _fail(INTERRUPTED, EXIT_CODE)
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            # The reader of our output, such as `head`, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except Exception as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                _fail(INTERRUPTED, EXIT_CODE)  # Python's own locks make another error of it
            if _debug(ctx) or type(error).__module__.startswith(("click", "typer")):
                raise
            _fail(f"error: {_explain(error)}; --debug shows the traceback", 1)


def _debug(ctx: Any) -> bool:
    return bool(ctx.ensure_object(dict).get("debug"))


def _fail(sentence: str, code: int) -> None:
    from sedmtl.runtime.progress import say

    say(sentence)
    raise typer.Exit(code)


def _explain(error: Exception) -> str:
    if isinstance(error, OSError):
        named = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{named}"
    if is_out_of_memory(error):
        return "there is not enough memory: lower --batch-size, --workers or --width"
    return f"sedmtl has a defect: {type(error).__name__}: {error}"


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


def run() -> None:
    """What `sedmtl` starts. An interruption before there is a command is one sentence, too."""
    try:
        Path.cwd()  # torch would end the process without one
    except OSError:
        sys.exit("error: the current folder has been removed: go to another one")
    try:
        app(prog_name="sedmtl")
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        sys.exit(EXIT_CODE)


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Weakly labelled sound event detection: mix → features → train → eval → visualize."""


@app.command("demo")
def demo_command(
    folder: options.DemoDir = Path("demo"),
    workers: options.Workers = None,
    debug: options.Debug = False,  # noqa: ARG001 - its callback acts
) -> None:
    """Make a whole small project on the built-in corpus: no data needed, some minutes."""
    from sedmtl.cli.demo import demo
    from sedmtl.evaluation.evaluate import show

    made = demo(folder, _n_workers(workers))
    show(made.sheets, Console(highlight=False))
    typer.echo(f"picture of {made.clip_path.name}, a mixture it was not trained on:")
    typer.echo(f"  {made.picture_path}")
    # The work folder of an edited data.yaml may lie elsewhere.
    other = os.path.relpath(made.clip_path.with_name(made.other_clip), folder)
    typer.echo("what next:")
    for command, purpose in (
        (f"cd {folder}", "the project; edit its data.yaml"),
        (f"sedmtl visualize {other}", "look at another mixture"),
        (f"sedmtl visualize {other} --html", "the same as a page to play and explore"),
        (f"sedmtl train --fold 2 {made.train_options}", "the next fold of the cross-validation"),
        ("sedmtl eval", "both folds, averaged"),
        (
            f"sedmtl train --fold 1 {made.train_options} --time-attention local",
            "a network that tells when, too",
        ),
        (f"sedmtl predict {other}", "its events; works on any recordings"),
    ):
        typer.echo(f"  {command}\n      {purpose}")


@app.command("mix")
def mix_command(
    snr: options.Snrs = None,
    stems: options.Stems = False,
    wav: options.Wav = 0,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Mix events into scenes: one store an SNR, and the plan with its strong labels."""
    from sedmtl.data.mixing import MixOptions, mix

    settings = _load(config)
    snrs_db = tuple(dict.fromkeys(snr or settings.mixing.snrs_db))
    n_workers = _n_workers(workers, scheduler)
    for path in mix(settings, MixOptions(snrs_db, stems, wav, n_workers, scheduler)):
        typer.echo(path)


@app.command("features")
def features_command(
    snr: options.Snrs = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Log-mel features of the mixtures, or of your own recordings (corpus.clips)."""
    from sedmtl.features.extraction import features
    from sedmtl.store import data_name

    names = [data_name(snr_db) for snr_db in snr or []]
    n_workers = _n_workers(workers, scheduler)
    for path in features(_load(config), names, n_workers, scheduler):
        typer.echo(path)


@app.command("train")
@takes_network_options
def train_command(
    network: Mapping[str, Any],
    fold: options.Folds,
    snr: options.StoreSnrs = None,
    data: options.StoreNames = None,
    model: options.Models = ["2apae"],  # noqa: B006 - typer shows it and does not change it
    alpha: options.Alphas = ["0.001"],  # noqa: B006
    seed: options.Seeds = [0],  # noqa: B006
    gpus: options.Gpus = None,
    epochs: options.Epochs = 50,
    batch_size: options.BatchSize = 24,
    lr: options.Rate = 1e-3,
    precision: options.Precision = "auto",
    name: options.RunName = None,
    resume: options.Resume = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    tensorboard: options.TensorBoard = False,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,
) -> None:
    """Train a network with one fold held out; or a grid of them.

    A grid is every combination of the repeatable options: finished runs are skipped, interrupted
    ones go on. Several GPUs train one run together, or a run of a grid each.
    """
    from sedmtl.report.held_out_figure import draw_held_out
    from sedmtl.runtime import distributed
    from sedmtl.runtime.devices import choose_device, choose_precision
    from sedmtl.training.grid.forecast import describe, forecast
    from sedmtl.training.grid.plan import check_options, plan_runs
    from sedmtl.training.train import TrainOptions, train

    with distributed.session(gpus):
        settings = _load(config)
        device = choose_device(gpus)
        # The first chooses for all, whatever their machines compute in.
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
            _say_all(describe(forecasts, max(gpus or 1, 1)))
            return
        shared = ("--config", str(config), *(["--debug"] if debug else []))
        how = TrainOptions(name, gpus, resume, force, tensorboard, shared, draw_held_out)
        runs = train(settings, configs, how)
        _say_all(runs if distributed.rank() == 0 else [])


@app.command("eval")
def eval_command(
    runs: options.Runs = None,
    on: options.OtherStore = None,
    json: options.JsonPath = None,
    per_class: options.PerClass = False,
    denoise: options.Denoise = False,
    separation: options.Separation = False,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Score the held-out folds: which sounds, and where they are known when; over folds."""
    from sedmtl.evaluation.evaluate import evaluate, show
    from sedmtl.report.score_curves import draw_score_curves

    settings = _load(config)
    evaluated = evaluate(
        settings, runs or [], json, on,
        per_class=per_class, denoise=denoise, separation=separation,
    )  # fmt: skip
    draw_score_curves(settings.work_dir / "eval", evaluated.rows)
    show(evaluated.sheets, Console(highlight=False))


@app.command("report")
def report_command(
    runs: options.Runs = None,
    out: options.ReportPath = None,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Write one page about all finished runs: tables, curves, classes, clips to look at and hear.

    It needs nothing but a browser: no network, no other file.
    """
    from sedmtl.report.report import report

    typer.echo(report(_load(config), runs or [], out))


@app.command("visualize")
def visualize_command(
    audio: options.AudioPath,
    run: options.Run = None,
    compare: options.Compare = None,
    start: options.Start = 0.0,
    classes: options.Classes = None,
    labels: options.Labels = None,
    html: options.Html = False,
    out: options.PicturePath = None,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Draw what the network saw in an audio file: the seven panels of the paper's figure 3.

    Or write it as a page to play and explore in a browser: --html.
    """
    from sedmtl.report.visualize import visualize

    path, used, inspection = visualize(
        _load_if_any(config), audio, run_name=run, compare_name=compare, start_s=start,
        classes=classes or (), labels_path=labels, as_page=html, out_path=out,
    )  # fmt: skip
    typer.echo(f"run {used.name}")
    for label, score in inspection.ranking()[:5]:
        typer.echo(f"{score:6.3f}  {label}")
    typer.echo(path)


@app.command("predict")
def predict_command(
    audio: options.AudioPaths,
    run: options.Run = None,
    out: options.PredictionsDir = None,
    format: options.Formats = None,
    tags: options.Tags = False,
    threshold: options.Threshold = None,
    hysteresis: options.Hysteresis = None,
    median: options.Median = None,
    gap: options.Gap = None,
    min_duration: options.MinDuration = None,
    batch_size: options.Windows = 8,
    gpus: options.OneGpu = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Find the events in recordings of any length and number: a table, and other tools' files.

    An interrupted batch goes on where it was. Prints the table, which is in events.tsv, too.
    """
    from sedmtl.inference.predict import PredictOptions, predict

    said = PredictOptions(
        run, out, tuple(format or ()), tags, threshold, hysteresis, median, gap, min_duration,
        batch_size, gpus, _n_workers(workers, scheduler), scheduler,
    )  # fmt: skip
    outcome = predict(_load_if_any(config), audio, said)
    typer.echo(outcome.table, nl=False)
    if outcome.error:
        raise outcome.error


@app.command("separate")
def separate_command(
    audio: options.AudioPath,
    run: options.Run = None,
    classes: options.SourceClasses = None,
    out: options.SourcesDir = None,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Take a recording apart: a WAV file for each class that is heard, and one for the rest.

    The files are mono, at the network's sample rate, and sum to the recording.
    """
    from sedmtl.inference.separate import separate

    made = separate(_load_if_any(config), audio, run_name=run, out_dir=out, classes=classes or ())
    typer.echo(f"run {made.run.name}")
    for score, path in made.sources:
        typer.echo(f"{score:6.3f}  {path}")
    typer.echo(f"        {made.rest}")


@app.command("download")
def download_command(
    corpora: options.CorpusNames = None,
    to: options.DataDir = Path("data"),
    accept_license: options.AcceptLicense = False,
    mirror: options.Mirror = None,
    from_dir: options.ArchivesDir = None,
    keep_archives: options.KeepArchives = False,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Bring the paper's corpora here, checked and unpacked; without names, list them.

    An interrupted download goes on where it was.
    """
    from sedmtl.data.download.catalogue import CORPORA
    from sedmtl.data.download.download import DownloadOptions, describe, download

    if mirror and from_dir:
        raise typer.BadParameter("--mirror and --from exclude each other")
    if not corpora:
        _say_all([describe(corpus) for corpus in CORPORA.values()])
        typer.echo(f"what next: sedmtl download {' '.join(CORPORA)} --accept-license")
        return
    chosen = [CORPORA[name] for name in dict.fromkeys(corpora)]
    said = DownloadOptions(to, accept_license, mirror, from_dir, keep_archives)
    _say_all(download(chosen, said))


@app.command("verify")
def verify_command(
    corpora: options.CorpusNames = None,
    to: options.DataDir = Path("data"),
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Read downloaded corpora again: which files are missing or have changed."""
    from sedmtl.data.download.catalogue import CORPORA
    from sedmtl.data.download.verify import judge, table, verify

    reports = verify([CORPORA[name] for name in dict.fromkeys(corpora or [])], to)
    typer.echo(table(reports))
    judge(reports)


@app.command("check")
def check_command(
    work: options.WorkDir = Path("work"),
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Read every store and run of a work folder: what is damaged, outdated or unfinished."""
    from sedmtl.report.integrity import check, judge, table

    findings = check(work)
    typer.echo(table(findings, work))
    judge(findings)


@app.command("export")
def export_command(
    run: options.OneRun,
    out: options.GraphPath = None,
    config: options.ConfigPath = DATA_YAML,
    debug: options.Debug = False,  # noqa: ARG001
) -> None:
    """Write a network as ONNX, for use without sedmtl: waveform in, scores out."""
    from sedmtl.inference.onnx import export

    typer.echo(export(_load(config), run, out))


def _say_all(lines: Sequence[object]) -> None:
    for line in lines:
        typer.echo(line)


def _load(path: Path) -> Config:
    from sedmtl.config import load_config

    return load_config(path)


def _load_if_any(path: Path) -> Config:
    """For commands that need a run and no project: without a data.yaml, the current folder."""
    from sedmtl.config import Config

    return Config() if path == DATA_YAML and not path.exists() else _load(path)


def _choose_stores(
    settings: Config, names: list[str] | None, snrs_db: list[float] | None
) -> list[Path]:
    from sedmtl.store import choose_store, data_name

    wanted: list[str | None] = [*(names or []), *(data_name(snr_db) for snr_db in snrs_db or [])]
    features_dir = settings.work_dir / "features"
    return [choose_store(features_dir, name, "sedmtl features") for name in wanted or [None]]


def _n_workers(asked: int | None, scheduler: str | None = None) -> int:
    from sedmtl.runtime.workers.threads import all_cores

    if asked and scheduler:
        raise SedmtlError(
            "--workers counts the threads of this machine, and --scheduler names a cluster that "
            "has its own: leave one of them out"
        )
    return asked or all_cores()
