"""`sedmtl mix`."""

from __future__ import annotations

from typing import Annotated

import typer

from sedmtl.cli import options, output

Stems = Annotated[
    bool, typer.Option("--stems", help="Also store the events and the scene of each mixture.")
]
Wav = Annotated[
    int,
    typer.Option("--wav", min=0, metavar="N", help="Also write the first N mixtures as WAV files."),
]


def command(
    snr: options.Snrs = None,
    stems: Stems = False,
    wav: Wav = 0,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Mix events into scenes: one store per SNR, and the plan with its strong labels."""
    from sedmtl.data.mixing import MixOptions, mix

    project = options.load_project(config)
    snrs_db = tuple(dict.fromkeys(snr or project.mixing.snrs_db))
    n_workers = options.count_workers(workers, scheduler)
    output.echo(mix(project, MixOptions(snrs_db, stems, wav, n_workers, scheduler)))
