"""`python -m sedmtl`, the same command line as `sedmtl`."""

from sedmtl.cli import run

run()
