"""Inspection of one clip: scores, attention and other maps of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.task_predictions import TaskPredictions, along
from sedmtl.models import SedOutput

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Inspection:
    """A network's scores for one clip, and what it attends to.

    Attributes:
        classes: Names of the C classes, in the order of all class axes.
        clip: (C,) in [0, 1], presence in the clip.
        frame: (C, T') in [0, 1], scores over time; see `SedOutput.frame` for their meaning.
        mel_attention: (C, T', F), sums to 1 over mel bins; None if the network has none.
        time_attention: (C, T'), sums to 1 over frames; None if the network has none.
        logmel: (T, F), the network's standardised log-mel input.
        reconstruction: (T, F), the decoder's output; None if no decoder was trained.
        frame_edges_s: (T' + 1,) boundaries of score frames in the file, in seconds.
        logmel_edges_s: (T + 1,) boundaries of log-mel frames; the same unless time is pooled.
        mel_hz: (F,) centre frequencies of the mel bins.
        duration_s: Length of the audio in the clip; the rest is padding.
        tasks: Predictions of auxiliary tasks whose heads were loaded.
    """

    classes: tuple[str, ...]
    clip: Array
    frame: Array
    logmel: Array
    frame_edges_s: npt.NDArray[np.float64]
    logmel_edges_s: npt.NDArray[np.float64]
    mel_hz: Array
    duration_s: float
    mel_attention: Array | None = None
    time_attention: Array | None = None
    reconstruction: Array | None = None
    tasks: TaskPredictions = field(default_factory=TaskPredictions)

    @classmethod
    def of(
        cls, card: ModelCard, logmel: Tensor, output: SedOutput,
        start_s: float = 0.0, duration_s: float | None = None,
    ) -> Self:  # fmt: skip
        """Build from the output for a batch of one clip and its standardised log-mel (1, T, F).

        The clip starts at `start_s` in its file; by default it has no padding.
        """
        return cls(
            classes=card.classes,
            clip=_first(output.clip),
            frame=_first(output.frame),
            mel_attention=_spread(output.mel_attention, *output.frame.shape[2:], card.n_mels),
            time_attention=_spread(output.time_attention, *output.frame.shape[2:]),
            logmel=_first(logmel),
            reconstruction=None if output.reconstruction is None else _first(output.reconstruction),
            frame_edges_s=start_s + card.grid.edges_s,
            logmel_edges_s=start_s + card.logmel_grid.edges_s,
            mel_hz=card.build_logmel().centres_hz(),
            duration_s=card.duration_s if duration_s is None else duration_s,
            tasks=TaskPredictions.of(card, logmel, output),
        )

    def at_logmel_frames(self, values: Array) -> Array:
        """Repeat values at score frames (T', …) to log-mel frames (T, …)."""
        return repeated(values, 0, len(self.logmel_edges_s) - 1)

    def ranking(self) -> list[tuple[str, float]]:
        """Classes and clip scores, highest first."""
        order = np.argsort(-self.clip, kind="stable")
        return [(self.classes[i], float(self.clip[i])) for i in order]


def joined(parts: Sequence[Inspection]) -> Inspection:
    """Join consecutive clips, each starting where the frame scores of the previous one end.

    Clip scores are the maximum over clips; attention over time sums to 1 within each clip.
    """
    first, last = parts[0], parts[-1]
    if last is first:
        return first
    n_frames = first.frame.shape[1]
    n_each = n_frames * ((len(first.logmel_edges_s) - 1) // n_frames)
    logmel, frame = along(0, parts, "logmel", n_each), along(1, parts, "frame")
    assert logmel is not None
    assert frame is not None
    return replace(
        first,
        clip=np.max([part.clip for part in parts], axis=0),
        frame=frame,
        mel_attention=along(1, parts, "mel_attention"),
        time_attention=along(1, parts, "time_attention"),
        logmel=logmel,
        reconstruction=along(0, parts, "reconstruction", n_each),
        frame_edges_s=_edges(first.frame_edges_s, frame.shape[1]),
        logmel_edges_s=_edges(first.logmel_edges_s, len(logmel)),
        duration_s=last.logmel_edges_s[0] - first.logmel_edges_s[0] + last.duration_s,
        tasks=TaskPredictions.joined([part.tasks for part in parts], n_each),
    )


def _edges(edges_s: npt.NDArray[np.float64], n_frames: int) -> npt.NDArray[np.float64]:
    """Extend equidistant edges to `n_frames` frames."""
    hop_s = edges_s[1] - edges_s[0]
    longer: npt.NDArray[np.float64] = edges_s[0] + hop_s * np.arange(n_frames + 1)
    return longer


def _spread(weights: Tensor | None, *sizes: int) -> Array | None:
    """Expand pooled attention weights (1, C, …) to a grid of these sizes; they still sum to 1."""
    if weights is None:
        return None
    coarse = fine = _first(weights)
    for axis, size in enumerate(sizes, start=1):
        fine = repeated(fine, axis, size)
    return fine if fine.shape == coarse.shape else fine / fine.sum(axis=-1, keepdims=True)


def repeated(values: Array, axis: int, size: int) -> Array:
    """Repeat values of a pooled axis to its full size; the last one also fills the remainder."""
    n_values = values.shape[axis]
    index = np.minimum(np.arange(size) // (size // n_values), n_values - 1)
    each: Array = values.take(index, axis=axis)
    return each


def _first(batch: Tensor) -> Array:
    only: Array = batch[0].cpu().numpy()
    return only
