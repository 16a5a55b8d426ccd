"""The held-out scores of a run: `scores.h5`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.errors import SedmtlError
from sedmtl.stores.tables import EventTable, read_events, write_events, write_strings

SCHEMA = 2


@dataclass(frozen=True)
class HeldOutScores:
    """What a run says about its held-out fold: the content of `scores.h5`.

    Attributes:
        name: (n,) of the clips.
        target: (n, C) uint8.
        prior: (C,) share of the training clips that have each class: the score to beat.
        score: (n, C) float32 under each selection.
        epoch: That each selection chose.
        frame: (n, C, T) float16 in [0, 1], of the network that the honest selection chose.
        frame_edges_s: (T + 1,) where frames begin and end.
        duration_s: Length of a clip.
        events: The strong labels, as far as they are known.
    """

    classes: Sequence[str]
    name: Sequence[str]
    target: npt.NDArray[np.uint8]
    prior: npt.NDArray[np.float32]
    score: Mapping[str, npt.NDArray[np.float32]]
    epoch: Mapping[str, int]
    frame: npt.NDArray[np.float16]
    frame_edges_s: npt.NDArray[np.float64]
    duration_s: float
    events: EventTable


def write_scores(path: Path, scores: HeldOutScores) -> None:
    """Write a `scores.h5`, whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    with h5py.File(partial, "w") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["classes"] = list(scores.classes)
        file.attrs["duration_s"] = scores.duration_s
        write_strings(file, "name", scores.name)
        file["target"], file["prior"] = scores.target, scores.prior
        for selection, score in scores.score.items():
            file[f"score/{selection}"] = score
            file[f"score/{selection}"].attrs["epoch"] = scores.epoch[selection]
        # A row a chunk; compressed to about two thirds.
        file.create_dataset("frame", data=scores.frame, chunks=(1, *scores.frame.shape[1:]),
                            compression="gzip", compression_opts=1, shuffle=True)  # fmt: skip
        file["frame_edges_s"] = scores.frame_edges_s
        write_events(file, scores.events)
    partial.replace(path)


def read_scores(path: Path) -> HeldOutScores:
    """Read a `scores.h5`.

    Raises:
        SedmtlError: It is missing, damaged, or of another schema.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["schema"] != SCHEMA:
                raise SedmtlError(
                    f"{path} has schema {file.attrs['schema']}, this sedmtl reads {SCHEMA}: train "
                    "the run again with --force"
                )
            return HeldOutScores(
                classes=list(file.attrs["classes"]),
                name=list(file["name"].asstr()[:]),
                target=file["target"][:],
                prior=file["prior"][:],
                score={selection: score[:] for selection, score in file["score"].items()},
                epoch={name: int(score.attrs["epoch"]) for name, score in file["score"].items()},
                frame=file["frame"][:],
                frame_edges_s=file["frame_edges_s"][:],
                duration_s=float(file.attrs["duration_s"]),
                events=read_events(file),
            )
    except (OSError, KeyError) as error:
        raise SedmtlError(f"cannot read {path}: train the run again with --force") from error
