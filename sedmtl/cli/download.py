"""`sedmtl download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output


def _mirror(url: str | None) -> str | None:
    if url is not None and not url.lower().startswith(("https://", "http://")):
        raise typer.BadParameter("should be an address that begins with https:// or http://")
    return url


AcceptLicense = Annotated[
    bool, typer.Option("--accept-license", help="Confirm that you accept the licences.")
]
Mirror = Annotated[
    str | None,
    typer.Option(
        "--mirror",
        callback=_mirror,
        metavar="URL",
        help="Fetch the archives from this address instead.",
    ),
]
ArchivesDir = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="DIR", help="Use the archives in this folder; download nothing."
    ),
]
KeepArchives = Annotated[
    bool, typer.Option("--keep-archives", help="Keep each archive after unpacking it.")
]


def command(
    corpora: options.CorpusNames = None,
    to: options.DataDir = Path("data"),
    accept_license: AcceptLicense = False,
    mirror: Mirror = None,
    from_dir: ArchivesDir = None,
    keep_archives: KeepArchives = False,
) -> None:
    """Download, verify and unpack the paper's corpora; without names, list them.

    Rerun an interrupted download to resume it.
    """
    from sedmtl.data.download.catalogue import CORPORA
    from sedmtl.data.download.download import DownloadOptions, describe, download

    if mirror and from_dir:
        raise typer.BadParameter("--mirror and --from exclude each other")
    if not corpora:
        for corpus in CORPORA.values():
            output.echo(describe(corpus))
        output.echo([f"what next: sedmtl download {' '.join(CORPORA)} --accept-license"])
        return
    chosen = [CORPORA[name] for name in dict.fromkeys(corpora)]
    how = DownloadOptions(to, accept_license, mirror, from_dir, keep_archives)
    output.echo(download(chosen, how))
