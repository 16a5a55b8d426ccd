"""The held-out scores of a run: `scores.h5`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.errors import SedmtlError
from sedmtl.stores.tables import write_strings
from sedmtl.stores.writer import SCHEMA


@dataclass(frozen=True)
class HeldOutScores:
    """What a run says about its held-out fold: the content of `scores.h5`.

    Attributes:
        name: (n,) of the clips.
        target: (n, C) uint8.
        prior: (C,) share of the training clips that have each class: the score to beat.
        score: (n, C) float32 under each selection.
        epoch: That each selection chose.
    """

    classes: Sequence[str]
    name: Sequence[str]
    target: npt.NDArray[np.uint8]
    prior: npt.NDArray[np.float32]
    score: Mapping[str, npt.NDArray[np.float32]]
    epoch: Mapping[str, int]


def write_scores(path: Path, scores: HeldOutScores) -> None:
    """Write a `scores.h5`, whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    with h5py.File(partial, "w") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["classes"] = list(scores.classes)
        write_strings(file, "name", scores.name)
        file["target"], file["prior"] = scores.target, scores.prior
        for selection, score in scores.score.items():
            file[f"score/{selection}"] = score
            file[f"score/{selection}"].attrs["epoch"] = scores.epoch[selection]
    partial.replace(path)


def read_scores(path: Path) -> HeldOutScores:
    """Read a `scores.h5`.

    Raises:
        SedmtlError: It is missing, damaged, or of another schema.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["schema"] != SCHEMA:
                raise SedmtlError(f"{path} has another schema than {SCHEMA}: train the run again")
            return HeldOutScores(
                classes=list(file.attrs["classes"]),
                name=list(file["name"].asstr()[:]),
                target=file["target"][:],
                prior=file["prior"][:],
                score={selection: score[:] for selection, score in file["score"].items()},
                epoch={name: int(score.attrs["epoch"]) for name, score in file["score"].items()},
            )
    except (OSError, KeyError) as error:
        raise SedmtlError(f"cannot read {path}: train the run again with --force") from error
