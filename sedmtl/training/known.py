"""Labels beyond the weak ones, as arrays for batches: strong labels and scenes.

Training on the presence of each class per frame (`--supervision strong`) gives an upper bound for
weak labels. The other arrays are targets of auxiliary tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

from sedmtl.config import Config
from sedmtl.data.corpora import load_scenes
from sedmtl.data.grid import Grid
from sedmtl.metrics.annotation import Annotation
from sedmtl.metrics.frame import targets
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import (
    EventTable,
    RowArray,
    Rows,
    Store,
    WindowTable,
    annotation_of,
    known_clips,
)

ARRAYS = PRESENCE, POLYPHONY, SCENE = "presence", "polyphony", "scene"
"""Names of the arrays: (B, C, T) activity of each class, 0 or 1; (B, T) number of active events;
(B,) scene class."""

Known = npt.NDArray[np.integer]
Read = Callable[[Rows], Known]

JOINS: Mapping[str, Callable[..., Known]] = {PRESENCE: np.max, POLYPHONY: np.sum}
"""How the arrays of several clips combine in their mixture."""


@dataclass(frozen=True)
class Knowledge:
    """Makes the arrays that a run needs, for clips of a store or for new mixtures.

    Attributes:
        names: Names of the arrays.
        n_classes: C.
        grid: Frame grid of the log-mel.
        scenes: Scene classes.
        scene_of: Index in `scenes` of each scene recording, by name.
    """

    names: tuple[str, ...]
    n_classes: int
    grid: Grid
    scenes: tuple[str, ...] = ()
    scene_of: Mapping[str, int] | None = None

    @classmethod
    def of_store(
        cls, asked: Mapping[str, str], store: Store, rows: Rows, project: Config | None
    ) -> Knowledge:
        """Check that a store's clips have the labels needed, and prepare to read them.

        Args:
            asked: The arrays, each with the option that requires it.
            store: The training store.
            rows: The training clips.
            project: Has the scene corpus.

        Raises:
            SedmtlError: Some clips lack a label that is needed.
        """
        made = store.attributes
        grid = Grid.of(made["sample_rate"], made["n_samples"], made["window"], made["hop"])
        names = tuple(name for name in ARRAYS if name in asked)
        for name in JOINS.keys() & asked.keys():
            _check_events(store, rows, asked[name])
        found = _read_scenes(store, project, asked[SCENE]) if SCENE in asked else {}
        scenes = tuple(sorted(set(found.values())))
        scene_of = {name: scenes.index(label) for name, label in found.items()}
        return cls(names, len(store.classes), grid, scenes, scene_of)

    def of(
        self, events: EventTable, scenes: Sequence[str], windows: WindowTable | None = None
    ) -> dict[str, Read]:
        """A reader of rows for each array.

        Args:
            events: Events of the clips.
            scenes: Scene name of each clip.
            windows: Window table, if clips have several rows.
        """

        def of_frames(make: Callable[[Annotation, int], Known], rows: Rows) -> Known:
            clips = rows if windows is None else windows.clip[rows]
            truth = annotation_of(events.of_clips(clips))
            if windows is not None:
                start_s = windows.start[rows].astype(np.float64) * self.grid.hop_s
                truth = truth.shifted(-start_s[truth.clip])
            return make(truth, len(rows))

        def of_scenes(rows: Rows) -> Known:
            return np.array([(self.scene_of or {})[scenes[row]] for row in rows], np.int64)

        readers: dict[str, Read] = {
            PRESENCE: partial(of_frames, self._presence),
            POLYPHONY: partial(of_frames, self._polyphony),
            SCENE: of_scenes,
        }
        return {name: readers[name] for name in self.names}

    def _presence(self, truth: Annotation, n_clips: int) -> Known:
        return targets(truth, n_clips, self.n_classes, self.grid.edges_s).view(np.uint8)

    def _polyphony(self, truth: Annotation, n_clips: int) -> Known:
        n_events = len(truth.clip)
        each = Annotation(
            np.arange(n_events), np.zeros_like(truth.label), truth.onset_s, truth.offset_s
        )
        count = np.zeros((n_clips, self.grid.n_frames), np.uint8)
        np.add.at(count, truth.clip, targets(each, n_events, 1, self.grid.edges_s)[:, 0])
        return count


def at_scores(known: Tensor, n_scores: int) -> Tensor:
    """Max-pool labels per log-mel frame (B, …, T) to the frames of scores (B, …, n_scores).

    This gives presence in any log-mel frame of a score frame, and the highest event count.
    """
    frames = known.unsqueeze(1) if known.ndim == 2 else known
    return F.adaptive_max_pool1d(frames, n_scores).reshape(*known.shape[:-1], n_scores)


def known_arrays(n_classes: int, n_frames: int) -> dict[str, RowArray]:
    """Shape and type of a row of each array; one row per clip."""
    return {
        PRESENCE: RowArray((n_classes, n_frames), np.uint8),
        POLYPHONY: RowArray((n_frames,), np.uint8),
        SCENE: RowArray((), np.int64),
    }


def _check_events(store: Store, rows: Rows, asking: str) -> None:
    events = store.clips.events.of_clips(rows)
    n_unknown = len(rows) - len(known_clips(store.clips.target[rows], events))
    if n_unknown:
        raise SedmtlError(
            f"{asking} needs the events of every training clip, and {store.path} lacks those of "
            f"{n_unknown} of {len(rows)}: name them in corpus.clips.strong, or train without it"
        )


def _read_scenes(store: Store, project: Config | None, asking: str) -> dict[str, str]:
    """Scene class of each scene recording of a store, by name."""
    names = set(store.clips.scene)
    if "" in names or project is None or project.corpus.scenes is None:
        raise SedmtlError(
            f"{asking} needs the scene of every clip, which mixtures have but your own recordings "
            f"do not, and {store.path} lacks it: train without it"
        )
    found = {scene.name: scene.label for scene in load_scenes(project)}
    if missing := sorted(names - found.keys()):
        raise SedmtlError(
            f"{asking}: {store.path} has scenes that corpus.scenes of data.yaml lacks, the first "
            f"'{missing[0]}': run 'sedmtl mix' and 'sedmtl features' again"
        )
    if len(set(found.values())) < 2:
        raise SedmtlError(
            f"{asking} needs scenes of at least two classes, and corpus.scenes has "
            f"{_listed(found.values())}: put them into a folder per class, or train without it"
        )
    return found


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(f"'{label}'" for label in sorted(set(labels)))
