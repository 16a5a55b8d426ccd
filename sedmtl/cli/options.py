"""The options of the command line, each defined once: name, meaning, bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from sedmtl.data.download.catalogue import CORPORA
from sedmtl.inference.exporters import FORMATS

AGAIN = "Repeatable."


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


def _format(name: str) -> str:
    if name not in FORMATS:
        raise typer.BadParameter(f"should be one of {', '.join(FORMATS)}")
    return name


def _corpus(name: str) -> str:
    if name not in CORPORA:
        raise typer.BadParameter(f"should be one of {', '.join(CORPORA)}")
    return name


def _mirror(url: str | None) -> str | None:
    if url is not None and not url.lower().startswith(("https://", "http://")):
        raise typer.BadParameter("should be an address that begins with https:// or http://")
    return url


def _rate(rate: float) -> float:
    if not 0 < rate < float("inf"):
        raise typer.BadParameter("should be a number above 0")
    return rate


def _run_name(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"\w[\w.+-]*", name):
        raise typer.BadParameter("should be letters, digits, '_', '.', '+' and '-', as of a folder")
    return name


def _remember_debug(ctx: typer.Context, value: bool) -> bool:
    ctx.find_root().ensure_object(dict)["debug"] = value
    return value


# Every command.
ConfigPath = Annotated[Path, typer.Option("--config", metavar="FILE", help="The data.yaml to use.")]
Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_remember_debug, help="Show the traceback of an error."),
]

# mix and features.
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads; by default one a core.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Work on the Dask cluster of this scheduler, tcp://host:8786, whose workers see the "
        "same files. Needs sedmtl's extra dask.",
    ),
]
Snrs = Annotated[
    list[float] | None,
    typer.Option("--snr", metavar="DB", help=f"SNR in dB; by default all. {AGAIN}"),
]
Stems = Annotated[bool, typer.Option("--stems", help="Store events and scene apart, too.")]
Wav = Annotated[
    int, typer.Option("--wav", min=0, help="Also write the first so many mixtures as WAV files.")
]

# train: what to run.
Folds = Annotated[
    list[str],
    typer.Option(
        "--fold", parser=_fold, metavar="N|all", help=f"The fold to hold out, from 1. {AGAIN}"
    ),
]
StoreSnrs = Annotated[
    list[float] | None,
    typer.Option("--snr", metavar="DB", help=f"SNR of the store, if there are several. {AGAIN}"),
]
StoreNames = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="NAME", help=f"The store by name: snr_10, clips. {AGAIN}"),
]
Models = Annotated[
    list[str],
    typer.Option(
        "--model", metavar="NAME", help=f"2apae, gap, gmp, gwrp, atrous, or all five. {AGAIN}"
    ),
]
Alphas = Annotated[
    list[str],
    typer.Option(
        "--alpha",
        parser=_alpha,
        metavar="X|auto",
        help=f"Weight of the reconstruction; auto learns it. {AGAIN}",
    ),
]
Seeds = Annotated[list[int], typer.Option("--seed", min=0, help=f"Of weights and order. {AGAIN}")]

# train: how.
Gpus = Annotated[
    int | None,
    typer.Option(
        "--gpus",
        min=0,
        help="By default a GPU if there is one; 0 is the CPU. Several share one run's batches, or "
        "take a run of a grid each. Across machines: torchrun -m sedmtl train, without --gpus.",
    ),
]
Epochs = Annotated[int, typer.Option("--epochs", min=1, help="Passes over the training clips.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Clips a step.")]
Rate = Annotated[float, typer.Option("--lr", callback=_rate, help="Learning rate of Adam.")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="auto: bfloat16 where the hardware computes in it."),
]
RunName = Annotated[
    str | None,
    typer.Option("--name", callback=_run_name, help="Name of the run folder; for a single run."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run; a grid always does.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Train nothing: say what would be run and how long it takes."),
]
Force = Annotated[bool, typer.Option("--force", help="Throw the old run away and start anew.")]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Write TensorBoard's event files into the run folder.")
]

# export.
OneRun = Annotated[str, typer.Argument(metavar="RUN", help="Name or path of a finished run.")]
GraphPath = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="By default model.onnx in the run folder."),
]

# eval and visualize.
Runs = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN]...", help="By default all finished runs.")
]
OtherStore = Annotated[
    Path | None,
    typer.Option(
        "--on",
        metavar="STORE",
        help="Score on another feature store of the same plan: onsets moved, another SNR.",
    ),
]
JsonPath = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the table here, too.")
]
ReportPath = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Where to write; by default work/report.html."),
]
PerClass = Annotated[bool, typer.Option("--per-class", help="Show every class of each network.")]
Denoise = Annotated[
    bool,
    typer.Option("--denoise", help="Measure decoders, too: against the events without the scene."),
]
Separation = Annotated[
    bool,
    typer.Option("--separation", help="Measure masks, too: against the events of each class."),
]
AudioPath = Annotated[Path, typer.Argument(metavar="AUDIO", help="Any audio file.")]
Run = Annotated[
    str | None, typer.Option("--run", help="The run to use; by default the newest finished one.")
]
Start = Annotated[
    float, typer.Option("--start", min=0, help="Where in a longer file to begin, in seconds.")
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="TSV", help="Strong labels to draw, if you have any."),
]
Compare = Annotated[
    str | None, typer.Option("--compare", metavar="RUN", help="A second run, drawn beside it.")
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        metavar="A,B,C",
        help=f"Those to show; the first two with their attention over mel bins. {AGAIN}",
    ),
]
Html = Annotated[
    bool, typer.Option("--html", help="Write a page to play and explore, not the picture.")
]
PicturePath = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Where to write; png, pdf, svg or html by the ending.",
    ),
]
# predict; also --run, --workers, --scheduler.
AudioPaths = Annotated[
    list[Path], typer.Argument(metavar="AUDIO", help="Audio files, and folders of them.")
]
PredictionsDir = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where to write; by default work/predictions."),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        parser=_format,
        metavar="NAME",
        help=f"A file for each recording, too: {', '.join(FORMATS)}. {AGAIN}",
    ),
]
Tags = Annotated[bool, typer.Option("--tags", help="Also write which classes each one holds.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold", min=0, max=1, help="Score above which a class is on; by default tuned."
    ),
]
Hysteresis = Annotated[
    float | None,
    typer.Option(
        "--hysteresis", min=0, max=1, metavar="SHARE",
        help="An event goes on while scores are above this share of the threshold.",
    ),
]  # fmt: skip
Median = Annotated[
    float | None,
    typer.Option(
        "--median", min=0, max=60, metavar="S", help="Length of the median filter in seconds."
    ),
]
Gap = Annotated[
    float | None, typer.Option("--gap", min=0, metavar="S", help="Pauses up to this are filled.")
]
MinDuration = Annotated[
    float | None,
    typer.Option("--min-duration", min=0, metavar="S", help="Shorter events are dropped."),
]
Windows = Annotated[int, typer.Option("--batch-size", min=1, help="Windows at a time.")]
OneGpu = Annotated[
    int | None,
    typer.Option("--gpus", min=0, max=1, help="By default a GPU if there is one; 0 is the CPU."),
]
DemoDir = Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to make it.")]

# separate; also AUDIO, --run.
SourceClasses = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        metavar="A,B,C",
        help=f"Those to take out; by default those that are heard. {AGAIN}",
    ),
]
SourcesDir = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where to write; by default work/separated."),
]

# check.
WorkDir = Annotated[Path, typer.Argument(metavar="WORK", help="The workdir of a data.yaml.")]
# download and verify.
CorpusNames = Annotated[
    list[str] | None,
    typer.Argument(parser=_corpus, metavar="NAME", help=f"{', '.join(CORPORA)}."),
]
DataDir = Annotated[
    Path, typer.Option("--to", metavar="DIR", help="The folder that holds the corpora's own.")
]
AcceptLicense = Annotated[
    bool, typer.Option("--accept-license", help="You have read the licence, and accept it.")
]
Mirror = Annotated[
    str | None,
    typer.Option(
        "--mirror", callback=_mirror, metavar="URL", help="Where archives are, if not at Zenodo."
    ),
]
ArchivesDir = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", help="Take the archives from here; download nothing."),
]
KeepArchives = Annotated[
    bool, typer.Option("--keep-archives", help="Do not delete an archive when it is unpacked.")
]
