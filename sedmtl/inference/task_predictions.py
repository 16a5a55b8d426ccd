"""What the heads of a run's tasks predict for a clip; `inspection` has it beside the detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.inference.model_card import ModelCard
from sedmtl.models import SedOutput
from sedmtl.models.class_masks import at_frames

Array = npt.NDArray[np.float32]

N_SCENES = 3
"""Classes of scenes that are named."""


@dataclass(frozen=True)
class TaskPredictions:
    """The predictions of auxiliary tasks, each None if the run has not learned the task.

    Attributes:
        denoised: (T, F), the standardised log-mel of the events without their scene.
        masks: (C, T, F) in [0, 1], how much of each bin is of each class.
        count: (T'), from 0, how many events are expected in each frame.
        active: (T') in [0, 1], the probability that any event sounds.
        scene: (S,), the probability of each class of scenes; they sum to 1.
        scenes: Their names.
    """

    denoised: Array | None = None
    masks: Array | None = None
    count: Array | None = None
    active: Array | None = None
    scene: Array | None = None
    scenes: tuple[str, ...] = ()

    @classmethod
    def of(cls, card: ModelCard, logmel: Tensor, output: SedOutput) -> Self:
        """What heads gave for a batch's only clip and its standardised log-mel (1, T, F)."""
        std = torch.tensor(card.std, device=logmel.device)
        # What the denoiser takes away is in units of the log-mel.
        readers: Mapping[str, tuple[str, Callable[[Tensor], Tensor]]] = {
            "denoise": ("denoised", lambda taken: logmel - taken / std),
            "separate": ("masks", lambda masks: at_frames(masks, card.n_frames)),
            "count": ("count", lambda expected: expected),
            "active": ("active", torch.sigmoid),
            "scene": ("scene", lambda logits: logits.softmax(dim=-1)),
        }
        made = {
            field: read(output.tasks[task].float())[0].cpu().numpy()
            for task, (field, read) in readers.items()
            if task in output.tasks
        }
        return cls(**made, scenes=card.scenes)

    @classmethod
    def joined(cls, parts: Sequence[Self], n_each: int) -> Self:
        """Of clips that follow each other, by `n_each` frames of the log-mel from one to the next.

        The probabilities of scenes are averaged.
        """
        scenes = [part.scene for part in parts if part.scene is not None]
        return cls(
            denoised=along(0, parts, "denoised", n_each),
            masks=along(1, parts, "masks", n_each),
            count=along(0, parts, "count"),
            active=along(0, parts, "active"),
            scene=np.mean(scenes, axis=0) if scenes else None,
            scenes=parts[0].scenes,
        )

    def likeliest_scenes(self, n_most: int = N_SCENES) -> list[tuple[str, float]]:
        """Classes of scenes with their probabilities, the likeliest first; none if unknown."""
        if self.scene is None:
            return []
        order = np.argsort(-self.scene, kind="stable")[:n_most]
        return [(self.scenes[i], float(self.scene[i])) for i in order]


def along(axis: int, parts: Sequence[Any], name: str, n_kept: int | None = None) -> Array | None:
    """An array of each part one behind the other, of all but the last the first `n_kept`.

    By default all; None if the parts have none.
    """
    arrays = [getattr(part, name) for part in parts]
    if arrays[0] is None:
        return None
    cut = (slice(None),) * axis + (slice(n_kept),)
    whole: Array = np.concatenate([*(each[cut] for each in arrays[:-1]), arrays[-1]], axis)
    return whole
