"""`sedmtl report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

ReportPath = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="The page to write; default: work/report.html."),
]


def command(
    runs: options.Runs = None,
    out: ReportPath = None,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Write one page about all finished runs: tables, curves, classes, the best and worst clips.

    The page works offline and needs no other file.
    """
    from sedmtl.report.project.page import report

    output.echo([report(options.load_project(config), runs or [], out, force=force)])
