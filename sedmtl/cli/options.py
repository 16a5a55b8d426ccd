"""Options shared by several commands; a command's own options are in its module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sedmtl.data.download.catalogue import CORPORA
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.regular import open_to_read

if TYPE_CHECKING:
    from sedmtl.config import Config

DATA_YAML = Path("data.yaml")

AGAIN = "Repeatable."


def _corpus(name: str) -> str:
    if name not in CORPORA:
        raise typer.BadParameter(f"should be one of {', '.join(CORPORA)}")
    return name


ConfigPath = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="The project's data.yaml.")
]

# mix, features, predict.
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Number of threads; default: one per core.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Run on the Dask cluster of this scheduler, tcp://host:8786; its workers must see the "
        "same files. Needs sedmtl's extra dask.",
    ),
]
Snrs = Annotated[
    list[float] | None,
    typer.Option("--snr", metavar="DB", help=f"SNR in dB; default: all. {AGAIN}"),
]

# eval, report.
Runs = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN]...", help="Default: all finished runs.")
]

# visualize, separate; `Run` also predict.
AudioPath = Annotated[Path, typer.Argument(metavar="AUDIO", help="Any audio file.")]
Run = Annotated[
    str | None,
    typer.Option(
        "--run", metavar="RUN", help="Name or path of a run; default: the newest finished one."
    ),
]

# predict, embed.
AudioPaths = Annotated[list[Path], typer.Argument(metavar="AUDIO", help="Audio files and folders.")]

# predict, visualize.
EncoderPath = Annotated[
    Path | None,
    typer.Option(
        "--encoder",
        metavar="FILE",
        help="The file of the run's frozen encoder; default: that of data.yaml.",
    ),
]

# eval, report, predict, visualize, export, folds, relabel.
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Overwrite files that sedmtl did not write, or that were edited since."
    ),
]

# review, relabel.
Reviews = Annotated[
    Path | None,
    typer.Option(
        "--reviews",
        metavar="TSV",
        help="Table of verdicts; default: reviews.tsv in data.yaml's folder.",
    ),
]

# download, verify.
CorpusNames = Annotated[
    list[str] | None,
    typer.Argument(parser=_corpus, metavar="[NAME]...", help=f"{', '.join(CORPORA)}."),
]
DataDir = Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of the corpora.")]


def load_project(path: Path) -> Config:
    """Load the project of a `data.yaml`."""
    from sedmtl.config import load_config

    return load_config(path)


def load_project_if_any(path: Path, encoder: Path | None = None) -> Config:
    """The project of a `data.yaml`, or the current folder if there is none.

    For commands that need a run but no project. An `encoder` replaces the file in data.yaml.
    """
    from sedmtl.config import load_config, load_config_if_any

    project = load_config_if_any(path) if path == DATA_YAML else load_config(path)
    if encoder is None:
        return project
    check_readable("--encoder", encoder)
    return project.with_encoder(encoder)


def check_readable(option: str, path: Path) -> None:
    """Check that the file of an option can be opened.

    Raises:
        SedmtlError: It cannot; the error names the option.
    """
    with explained(f"{option}: cannot read {path}"):
        open_to_read(path).close()


def reviews_beside(config: Path) -> Path:
    """The default path of a project's verdicts."""
    return config.with_name("reviews.tsv")


def count_workers(asked: int | None, scheduler: str | None = None) -> int:
    """The number of threads to use on this machine.

    Raises:
        SedmtlError: Both threads and a cluster are requested.
    """
    from sedmtl.runtime.workers.threads import all_cores

    if asked and scheduler:
        raise SedmtlError(
            "expected --workers (threads of this machine) or --scheduler (a cluster with its own "
            "workers), found both: leave one of them out"
        )
    return asked or all_cores()


def is_debugging(context: typer.Context) -> bool:
    """Whether `--debug` was given, before or after the command."""
    return bool(context.find_root().ensure_object(dict).get("debug"))
