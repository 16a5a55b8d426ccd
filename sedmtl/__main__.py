"""`python -m sedmtl`, the same command line as `sedmtl`."""

from sedmtl.cli import app

app(prog_name="sedmtl")
