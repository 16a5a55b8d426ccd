"""The sizes that determine a run's cost, known before any features are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.data.frame_times import frames_of
from sedmtl.models.frame_input import FrameInput
from sedmtl.store import ClipTable, RowArray, Store
from sedmtl.training.bags import MAX_WINDOWS
from sedmtl.training.split import split_rows


class Workload(NamedTuple):
    """The sizes that determine a run's cost.

    Attributes:
        n_classes: C.
        arrays: Arrays of the feature store.
        n_rows: Rows of the feature store.
        n_train: Training windows per epoch; a clip may be a single window.
        n_scored: Windows scored after each epoch.
        n_windows: Maximum windows per recording in a forward pass.
        frames: Frames of a frozen encoder, if there is one.
    """

    n_classes: int
    arrays: Mapping[str, RowArray]
    n_rows: int
    n_train: int
    n_scored: int
    n_windows: int = 1
    frames: FrameInput | None = None

    @classmethod
    def of_clips(
        cls,
        clips: ClipTable,
        n_classes: int,
        arrays: Mapping[str, RowArray],
        fold: int,
        frames: FrameInput | None = None,
    ) -> Workload:
        """Workload of a run on some clips with a fold held out.

        Raises:
            SedmtlError: As in `split_rows`.
        """
        split = split_rows(clips, fold)
        n_scored = sum(len(clips.rows_of(part)[0]) for part in split.scored.values())
        n_each = np.minimum(np.bincount(clips.rows_of(split.train)[1]), MAX_WINDOWS)
        sizes = (int(n_each.sum()), n_scored, int(n_each.max()))
        return cls(n_classes, arrays, clips.n_rows, *sizes, frames)

    @classmethod
    def of_store(cls, store: Store, fold: int) -> Workload:
        """Workload of a run on a store; raises like `of_clips`."""
        return cls.of_clips(
            store.clips, len(store.classes), store.row_arrays, fold, frames_of(store)
        )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """C, and T and F of the log-mel."""
        n_frames, n_mels = self.arrays["logmel"].row_shape
        return self.n_classes, n_frames, n_mels

    def noise(self, n_clips: int, share: float) -> dict[str, npt.NDArray[np.floating]]:
        """Noise as network inputs, by name; each clip has `share` of the time steps."""
        rng = np.random.default_rng(0)
        inputs = {name: self.arrays[name] for name in ("logmel", "frames") if name in self.arrays}
        shapes = {
            name: (n_clips, max(1, round(share * n_steps)), n_values)
            for name, ((n_steps, n_values), _) in inputs.items()
        }
        return {n: rng.normal(size=shape).astype(inputs[n].dtype) for n, shape in shapes.items()}
