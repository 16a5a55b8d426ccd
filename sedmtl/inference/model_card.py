"""What a trained network says of itself: all that prediction needs beside the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from sedmtl.inference.postprocess import PostProcessing
from sedmtl.logmel import LogMel, Standardiser, n_frames
from sedmtl.models import build_model, has_decoder
from sedmtl.models.attention_step import AttentionForm
from sedmtl.models.autoencoder import ReconstructionEnd
from sedmtl.models.two_step_attention import TimeAttention
from sedmtl.runtime.errors import SedmtlError

MAX_SIZE = 1 << 31
"""Of what a card counts; more samples or channels than these are a wrong number."""


@dataclass(frozen=True)
class ModelCard:
    """All that prediction needs beside the weights: the content of `model.json`.

    Attributes:
        classes: In the order of the scores.
        n_samples: Length of a clip at `sample_rate`.
        features: Arguments of `LogMel` beside the sample rate.
        mean: (F,) of the standardiser.
        std: (F,) of the standardiser.
        postprocessing: How frame scores become events: tuned on inner validation.
        tag_threshold: (C,) above which a clip score says that the class is there; likewise.
        training: Where the weights come from, for people: recipe, epoch, validation score.
    """

    model: str
    attention: AttentionForm
    time_attention: TimeAttention
    reconstruction: ReconstructionEnd
    width: int
    n_frames: int
    n_mels: int
    classes: tuple[str, ...]
    sample_rate: int
    n_samples: int
    features: Mapping[str, float]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    postprocessing: PostProcessing
    tag_threshold: tuple[float, ...]
    training: Mapping[str, Any]

    @property
    def reconstructs(self) -> bool:
        """Whether there is a decoder, and it was trained."""
        return has_decoder(self.model) and self.training["alpha"] != 0

    @property
    def hop_s(self) -> float:
        """From frame to frame."""
        return float(self.features["hop"]) / self.sample_rate

    @property
    def frame_edges_s(self) -> npt.NDArray[np.float64]:
        """(T + 1,) where frames begin and end: a frame stands for the hop around its centre."""
        first = (self.features["window"] - self.features["hop"]) / 2
        return (first + np.arange(self.n_frames + 1) * self.features["hop"]) / self.sample_rate

    def build_network(self) -> nn.Module:
        """The network with fresh weights."""
        return build_model(
            self.model,
            len(self.classes),
            self.n_frames,
            self.n_mels,
            self.width,
            self.attention,
            self.reconstruction,
            self.time_attention,
        )

    def build_logmel(self) -> LogMel:
        """The front end that the network was trained on."""
        return LogMel(self.sample_rate, **self.features)  # type: ignore[arg-type]

    def build_standardiser(self) -> Standardiser:
        """The standardiser that the network was trained on."""
        return Standardiser(self.mean, self.std)


def read_card(data: Mapping[str, Any]) -> ModelCard:
    """A card from the plain values that `dataclasses.asdict` makes of one.

    Raises:
        SedmtlError: The post-processing makes no sense.
        KeyError, TypeError, ValueError: The values are no card, or do not fit each other.
    """
    if not isinstance(data["classes"], list):
        raise TypeError("its classes are no list")
    lists = {key: tuple(data[key]) for key in ("classes", "tag_threshold")}
    settings = data["postprocessing"]
    settings = PostProcessing(**{**settings, "threshold": tuple(settings["threshold"])})
    card = ModelCard(**{**data, **lists, "postprocessing": settings})
    _check(card)
    return card


def check_classes(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    """Read names of classes, each item one name or several with commas between; none twice.

    Raises:
        SedmtlError: A name is unknown; the nearest are listed.
    """
    parts = [[item] if item in known else item.split(",") for item in asked]
    names = list(dict.fromkeys(name.strip() for part in parts for name in part))
    for name in names:
        if name not in known:
            by_lower = {label.lower(): label for label in known}
            nearest = [by_lower[key] for key in get_close_matches(name.lower(), by_lower, 5, 0.0)]
            raise SedmtlError(
                f"no class '{name}': of the network's {len(known)} the nearest are "
                f"{', '.join(nearest)}"
            )
    return names


def _check(card: ModelCard) -> None:
    """Whether its sizes fit each other.

    Raises:
        ValueError: They do not; says which.
    """
    window, hop, n_classes = card.features["window"], card.features["hop"], len(card.classes)
    sizes = (card.width, card.n_frames, card.n_mels, card.sample_rate, card.n_samples, window, hop)
    settings = card.postprocessing
    lists = (card.mean, card.std, card.tag_threshold, settings.threshold)
    fits = {
        "sizes": all(type(size) is int and 0 < size < MAX_SIZE for size in sizes),
        "clip": window <= card.n_samples,
        "frames": card.n_frames == n_frames(card.n_samples, int(window), int(hop)),
        "mel bins": card.n_mels == card.features["n_mels"] == len(card.mean) == len(card.std),
        "classes": n_classes > 0 and all(isinstance(name, str) for name in card.classes),
        "thresholds": n_classes == len(card.tag_threshold) == len(settings.threshold),
        "filter": settings.median_s * card.sample_rate <= MAX_SIZE,
        "numbers": all(np.isfinite(np.asarray(each, float)).all() for each in lists),
        "training": {"alpha", "precision"} <= set(card.training),
    }
    for name, fit in fits.items():
        if not fit:
            raise ValueError(f"its {name} cannot be")
