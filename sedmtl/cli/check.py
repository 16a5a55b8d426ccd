"""`sedmtl check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import output

WorkDir = Annotated[
    Path, typer.Argument(metavar="[WORK]", help="The work folder: workdir in data.yaml.")
]


def command(work: WorkDir = Path("work")) -> None:
    """Find damaged, outdated or unfinished stores and runs in a work folder.

    Reads every file completely. Prints the commands that fix problems, and how many of your own
    recordings each class and each fold has.
    """
    from sedmtl.report.integrity import check, judge, recordings, table

    findings = check(work)
    output.echo([*table(findings, work), *recordings(findings, work)])
    judge(findings)
