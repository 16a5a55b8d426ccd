"""`sedmtl features`."""

from __future__ import annotations

from typing import Annotated

import typer

from sedmtl.cli import options, output

Strict = Annotated[
    bool,
    typer.Option("--strict", help="Stop at the first of your recordings that cannot be read."),
]


def command(
    snr: options.Snrs = None,
    strict: Strict = False,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Compute the log-mel of the mixtures, or of your own recordings (corpus.clips)."""
    from sedmtl.features.extraction import features
    from sedmtl.store import data_name

    names = [data_name(snr_db) for snr_db in snr or []]
    n_workers = options.count_workers(workers, scheduler)
    project = options.load_project(config)
    output.echo(features(project, names, n_workers, scheduler, strict=strict))
