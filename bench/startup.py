"""`sedmtl --help`, from the start of the process to its end."""

from __future__ import annotations

from functools import partial

from bench.runner import Family, Stage, process

FAMILY = Family(
    (
        Stage(
            "sedmtl --help",
            "s",
            partial(process, words=("-m", "sedmtl", "--help")),
            partial(process, words=("-c", "import torch")),
            n_laps=5,
        ),
    ),
    "a process that imports torch",
)
