"""The held-out scores of a run: `scores.h5`."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.runtime.atomic import write_bytes
from sedmtl.runtime.errors import SedmtlError, pass_on_trouble
from sedmtl.store.file import DAMAGE, open_file
from sedmtl.store.tables import (
    EventTable,
    plain,
    read_array,
    read_events,
    read_strings,
    read_windows,
    write_array,
    write_events,
    write_strings,
    write_windows,
)
from sedmtl.store.windows import WindowTable

SCHEMA = 2


@dataclass(frozen=True)
class HeldOutScores:
    """Scores of a run on its held-out fold: the content of `scores.h5`.

    Attributes:
        name: (n,) names of the clips.
        target: (n, C) uint8.
        prior: (C,) share of the training clips that have each class: the baseline score.
        score: (n, C) float32 for each selection.
        epoch: The epoch that each selection chose.
        frame: (n_rows, C, T) float16 in [0, 1], from the validation-selected network.
        frame_edges_s: (T + 1,) edges of the frames.
        duration_s: Length of a row of `frame`.
        events: The strong labels, where known.
        windows: Clip and position of each row of `frame`, in frames of the scores; None if each
            clip is one row.
        window_score: (n_rows, C) clip scores of the windows, from the same network; None if each
            clip is one row.
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
    windows: WindowTable | None = None
    window_score: npt.NDArray[np.float32] | None = None

    @property
    def durations_s(self) -> npt.NDArray[np.float64]:
        """(n,) length of each clip."""
        if self.windows is not None:
            return self.windows.duration_s
        return np.full(len(self.name), self.duration_s)


def write_scores(path: Path, scores: HeldOutScores) -> None:
    """Write a `scores.h5` atomically."""
    # In memory: HDF5 crashes the process if the disk is full when it closes a new file.
    content = io.BytesIO()
    # HDF5 has checksums since 1.10, except for variable-length strings, where a flipped bit can
    # make it loop forever: fixed-width strings leave no byte unchecked.
    with h5py.File(content, "w", libver="v110") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["classes"] = np.array([name.encode() for name in scores.classes])
        file.attrs["duration_s"] = scores.duration_s
        write_strings(file, "name", scores.name)
        write_array(file, "target", scores.target)
        write_array(file, "prior", scores.prior)
        for selection, score in scores.score.items():
            write_array(file, f"score/{selection}", score)
            file[f"score/{selection}"].attrs["epoch"] = scores.epoch[selection]
        # One row per chunk; compressed to about two thirds.
        file.create_dataset("frame", data=scores.frame, chunks=(1, *scores.frame.shape[1:]),
                            compression="gzip", compression_opts=1, shuffle=True,
                            fletcher32=True)  # fmt: skip
        write_array(file, "frame_edges_s", scores.frame_edges_s)
        write_events(file, scores.events)
        write_windows(file, scores.windows)
        if scores.window_score is not None:
            write_array(file, "window_score", scores.window_score)
    write_bytes(path, content.getvalue())


def read_scores(path: Path) -> HeldOutScores:
    """Read a `scores.h5`.

    Raises:
        SedmtlError: It is missing, damaged, or has another schema.
    """
    try:
        with open_file(path) as file:
            schema = file.attrs["schema"]
            if not np.array_equal(schema, SCHEMA):
                raise SedmtlError(
                    f"{path} has schema {schema}, but this sedmtl reads {SCHEMA}: train the run "
                    "again with --force"
                )
            scores = _read(file)
        _check(scores)
    except DAMAGE as error:
        pass_on_trouble(error)
        reason = " ".join(str(error.args[-1]).split())
        raise SedmtlError(
            f"cannot read {path}: train the run again with --force ({reason:.200})"
        ) from error
    return scores


def _read(file: h5py.File) -> HeldOutScores:
    selections = list(file["score"])
    return HeldOutScores(
        classes=plain(file.attrs["classes"]),
        name=read_strings(file, "name"),
        target=read_array(file, "target"),
        prior=read_array(file, "prior"),
        score={name: read_array(file, f"score/{name}") for name in selections},
        epoch={name: int(file[f"score/{name}"].attrs["epoch"]) for name in selections},
        frame=read_array(file, "frame"),
        frame_edges_s=read_array(file, "frame_edges_s"),
        duration_s=float(file.attrs["duration_s"]),
        events=read_events(file),
        windows=read_windows(file),
        window_score=read_array(file, "window_score") if "window_score" in file else None,
    )


def _check(scores: HeldOutScores) -> None:
    """Raise a `ValueError` that names the first wrong shape or value range."""
    n, n_classes, n_edges = len(scores.name), len(scores.classes), len(scores.frame_edges_s)
    n_rows = n
    if scores.windows is not None:
        scores.windows.check(n)
        n_rows = len(scores.windows.clip)
    shapes: dict[str, tuple[npt.NDArray[Any], tuple[int, ...]]] = {
        "target": (scores.target, (n, n_classes)),
        "prior": (scores.prior, (n_classes,)),
        "frame": (scores.frame, (n_rows, n_classes, n_edges - 1)),
        **{name: (score, (n, n_classes)) for name, score in scores.score.items()},
    }
    if scores.windows is not None or scores.window_score is not None:
        of_windows = np.empty(0) if scores.window_score is None else scores.window_score
        shapes["window_score"] = (of_windows, (n_rows, n_classes))
    for name, (array, shape) in shapes.items():
        if array.shape != shape or not ((array >= 0) & (array <= 1)).all():
            raise ValueError(f"'{name}' should have shape {shape} and values from 0 to 1")
    if not (np.diff(scores.frame_edges_s) > 0).all() or not 0 < scores.duration_s < np.inf:
        raise ValueError("its times are not in order")
    if "honest" not in scores.score:
        raise ValueError("it has no 'honest' scores")
    scores.events.check(n, n_classes)
