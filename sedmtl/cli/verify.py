"""`sedmtl verify`."""

from __future__ import annotations

from pathlib import Path

from sedmtl.cli import options, output


def command(corpora: options.CorpusNames = None, to: options.DataDir = Path("data")) -> None:
    """Check downloaded corpora for missing or changed files."""
    from sedmtl.data.download.catalogue import CORPORA
    from sedmtl.data.download.manifest import require_fine, verify, verify_table

    reports = verify([CORPORA[name] for name in dict.fromkeys(corpora or [])], to)
    output.echo(verify_table(reports))
    require_fine(reports)
