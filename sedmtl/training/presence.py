"""Known presence of the classes in each frame, to train on (`--supervision strong`).

It is what weak labels lack: a network trained on it says how far they are from the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sedmtl.inference.windows import Grid
from sedmtl.metrics.frame import targets
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import EventTable, Rows, Store, annotation_of, known_clips

Presence = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ReadPresence:
    """Cuts events into the frames of a store.

    Attributes:
        n_classes: C.
        edges_s: (T + 1,) of the frames of the log-mel.
    """

    n_classes: int
    edges_s: npt.NDArray[np.float64]

    @classmethod
    def in_store(cls, store: Store, rows: Rows) -> ReadPresence:
        """For the frames of a store.

        Raises:
            SedmtlError: The events of some of the rows are not known.
        """
        events = store.clips.events.of_clips(rows)
        n_unknown = len(rows) - len(known_clips(store.clips.target[rows], events))
        if n_unknown:
            raise SedmtlError(
                f"--supervision strong needs the events of every training clip, and {store.path} "
                f"lacks those of {n_unknown} of {len(rows)}: name them in corpus.clips.strong, or "
                "train with --supervision weak"
            )
        made, n_frames = store.attributes, store.row_shape[0]
        grid = Grid(made["sample_rate"], made["n_samples"], n_frames, made["window"], made["hop"])
        return cls(len(store.classes), grid.edges_s)

    def of(self, events: EventTable) -> Callable[[Rows], Presence]:
        """Reads rows of a table of events: (n, C, T), 1 where the class is active."""

        def read(rows: Rows) -> Presence:
            truth = annotation_of(events.of_clips(rows))
            return targets(truth, len(rows), self.n_classes, self.edges_s).view(np.uint8)

        return read
