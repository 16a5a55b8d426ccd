"""`sedmtl train-job FILE`: one process of a `sedmtl train` that uses several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import output


def command(
    file: Annotated[Path, typer.Argument(help="The run's settings.")],
) -> None:
    """Train the run described in a file."""
    from sedmtl.config import load_config
    from sedmtl.report.held_out_figure import draw_held_out
    from sedmtl.runtime import distributed
    from sedmtl.training.job import read_job
    from sedmtl.training.train import train_one

    config, how = read_job(file, draw_held_out)
    with distributed.session(how.n_gpus):
        run = train_one(load_config(Path(how.data_yaml)), config, how)
        if distributed.rank() == 0:
            output.echo([run])
