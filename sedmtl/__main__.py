"""`python -m sedmtl`, the same command line as `sedmtl`."""

from sedmtl.cli.app import run

run()
