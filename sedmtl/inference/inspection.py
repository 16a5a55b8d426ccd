"""What a network says about one clip, with the maps that led to it."""

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
    """What a network says about one clip, and what it looked at.

    Attributes:
        classes: Names of the C classes, in the order of every axis of classes.
        clip: (C,) in [0, 1], presence in the clip.
        frame: (C, T') in [0, 1], over time; `SedOutput.frame` says what it is of each network.
        mel_attention: (C, T', F), sums to 1 over mel bins; None if the network has none.
        time_attention: (C, T'), sums to 1 over frames; None if the network has none.
        logmel: (T, F), the standardised log-mel that the network was given.
        reconstruction: (T, F), the decoder's version of it; None if none was trained.
        frame_edges_s: (T' + 1,) where frame scores begin and end in the file, in seconds.
        logmel_edges_s: (T + 1,) of the log-mel's frames; the same unless the network pools time.
        mel_hz: (F,) centre frequencies of the mel bins.
        duration_s: How much of the clip is audio; the rest, if any, is padding.
        tasks: What the run's auxiliary tasks predict, if their heads were loaded.
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
        """What a network says of a batch's only clip and its standardised log-mel (1, T, F).

        The clip begins `start_s` into its file; by default all of it is audio.
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
        """Values of frame scores (T', …), each repeated over its frames of the log-mel: (T, …)."""
        return repeated(values, 0, len(self.logmel_edges_s) - 1)

    def ranking(self) -> list[tuple[str, float]]:
        """The classes with their clip scores, the most likely first."""
        order = np.argsort(-self.clip, kind="stable")
        return [(self.classes[i], float(self.clip[i])) for i in order]


def joined(parts: Sequence[Inspection]) -> Inspection:
    """Clips that follow each other, each from the end of the frame scores of the one before.

    A clip score is the highest of them; attention over time sums to 1 in each clip.
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
    """As many edges as frames need, which go on as they begin."""
    hop_s = edges_s[1] - edges_s[0]
    longer: npt.NDArray[np.float64] = edges_s[0] + hop_s * np.arange(n_frames + 1)
    return longer


def _spread(weights: Tensor | None, *sizes: int) -> Array | None:
    """Weights (1, C, …) of a network that pools, on a grid of these sizes; they sum to 1 again."""
    if weights is None:
        return None
    coarse = fine = _first(weights)
    for axis, size in enumerate(sizes, start=1):
        fine = repeated(fine, axis, size)
    return fine if fine.shape == coarse.shape else fine / fine.sum(axis=-1, keepdims=True)


def repeated(values: Array, axis: int, size: int) -> Array:
    """Values of a pooled axis, repeated over what each stands for; the last also over the rest."""
    n_values = values.shape[axis]
    index = np.minimum(np.arange(size) // (size // n_values), n_values - 1)
    each: Array = values.take(index, axis=axis)
    return each


def _first(batch: Tensor) -> Array:
    only: Array = batch[0].cpu().numpy()
    return only
