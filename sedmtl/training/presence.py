"""Known presence of the classes in each frame, to train on (`--supervision strong`).

It is what weak labels lack: a network trained on it says how far they are from the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sedmtl.data.grid import Grid
from sedmtl.metrics.frame import targets
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import EventTable, Rows, Store, WindowTable, annotation_of, known_clips

Presence = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ReadPresence:
    """Cuts events into the frames of a store.

    Attributes:
        n_classes: C.
        grid: Of the frames of the log-mel.
    """

    n_classes: int
    grid: Grid

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
        made = store.attributes
        grid = Grid.of(made["sample_rate"], made["n_samples"], made["window"], made["hop"])
        return cls(len(store.classes), grid)

    def of(
        self, events: EventTable, windows: WindowTable | None = None
    ) -> Callable[[Rows], Presence]:
        """Reads rows of a table of events: (n, C, T), 1 where the class is active.

        Args:
            events: Of clips.
            windows: The rows of the clips, if they have several.
        """

        def read(rows: Rows) -> Presence:
            clips = rows if windows is None else windows.clip[rows]
            truth = annotation_of(events.of_clips(clips))
            if windows is not None:
                start_s = windows.start[rows].astype(np.float64) * self.grid.hop_s
                truth = truth.shifted(-start_s[truth.clip])
            return targets(truth, len(rows), self.n_classes, self.grid.edges_s).view(np.uint8)

        return read
