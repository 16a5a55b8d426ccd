"""Predictions of a run's task heads for a clip, as part of an `Inspection`."""

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
"""Number of scene classes to show."""


@dataclass(frozen=True)
class TaskPredictions:
    """The predictions of auxiliary tasks; None for tasks that the run was not trained on.

    Attributes:
        denoised: (T, F) standardised log-mel of the events without the scene.
        masks: (C, T, F) in [0, 1], the share of each class in each bin.
        count: (T',) expected number of events per frame.
        active: (T',) in [0, 1], the probability of any event per frame.
        scene: (S,) probabilities of scene classes, which sum to 1.
        scenes: Names of the scene classes.
    """

    denoised: Array | None = None
    masks: Array | None = None
    count: Array | None = None
    active: Array | None = None
    scene: Array | None = None
    scenes: tuple[str, ...] = ()

    @classmethod
    def of(cls, card: ModelCard, logmel: Tensor, output: SedOutput) -> Self:
        """Read the heads' output for a batch of one clip and its standardised log-mel (1, T, F)."""
        std = torch.tensor(card.std, device=logmel.device)
        # The denoiser's attenuation is in units of the log-mel before standardisation.
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
        """Join consecutive clips that are `n_each` log-mel frames apart.

        Scene probabilities are averaged.
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
        """Scene classes with their probabilities, highest first; empty if unknown."""
        if self.scene is None:
            return []
        order = np.argsort(-self.scene, kind="stable")[:n_most]
        return [(self.scenes[i], float(self.scene[i])) for i in order]


def along(axis: int, parts: Sequence[Any], name: str, n_kept: int | None = None) -> Array | None:
    """Concatenate an array of each part along an axis; None if the parts do not have it.

    All parts except the last are cut to `n_kept` entries, if given.
    """
    arrays = [getattr(part, name) for part in parts]
    if arrays[0] is None:
        return None
    cut = (slice(None),) * axis + (slice(n_kept),)
    whole: Array = np.concatenate([*(each[cut] for each in arrays[:-1]), arrays[-1]], axis)
    return whole
