"""The model card: everything that prediction needs besides the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from sedmtl.classes import class_name
from sedmtl.config.schema import find_excess
from sedmtl.data.frame_times import frame_input
from sedmtl.data.grid import Grid
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.logmel import LogMel, Standardiser, n_frames
from sedmtl.models.heads import HEADS, Sizes, build_head
from sedmtl.models.registry import name_of, plain_settings, read_settings
from sedmtl.models.settings import NetworkSettings
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import EncoderCard

MAX_SIZE = 1 << 25
"""Limit of sizes in a card; larger ones indicate damage."""

HEAD_FIELDS = ("heads", "scenes")
"""Card fields of runs with heads only."""

ENCODER_FIELDS = ("encoder", "frames_mean", "frames_std")
"""Card fields of networks on encoder frames only."""

MAX_LOGMEL = 1e3
"""Limit of a standardiser's values; log-mels of float32 audio lie between -18.5 and 100."""


@dataclass(frozen=True)
class ModelCard:
    """The content of `model.json`.

    Attributes:
        network: The network's options; their class identifies the network.
        n_frames: T of a clip's log-mel.
        n_mels: F.
        classes: Class names, in the order of the scores.
        sample_rate: In Hz.
        n_samples: Length of a clip at `sample_rate`.
        features: Arguments of `LogMel` other than the sample rate.
        mean: (F,) mean of the standardiser.
        std: (F,) standard deviation of the standardiser.
        postprocessing: Post-processing of frame scores, tuned on inner validation.
        tag_threshold: (C,) clip score thresholds, tuned on inner validation.
        training: Origin of the weights, for information: recipe, epoch, validation score.
        streaming: If `postprocessing` has boxes, the best settings with a median filter, for
            `Detector.stream`; None in earlier versions.
        heads: Task names of the saved heads.
        scenes: Scene classes of the head `scene`; empty without it.
        encoder: The frozen encoder whose frames the network takes, if any.
        frames_mean: (D,) mean of the frames' standardiser.
        frames_std: (D,) standard deviation of the frames' standardiser.
    """

    network: NetworkSettings
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
    streaming: PostProcessing | None = None
    heads: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    encoder: EncoderCard | None = None
    frames_mean: tuple[float, ...] = ()
    frames_std: tuple[float, ...] = ()

    @property
    def model(self) -> str:
        """Name of the network."""
        return name_of(self.network)

    @property
    def reconstructs(self) -> bool:
        """Whether there is a trained decoder."""
        return "reconstruct" in self.network.task_modules and self.training["alpha"] != 0

    @property
    def duration_s(self) -> float:
        """Length of a clip in seconds."""
        return self.n_samples / self.sample_rate

    @property
    def grid(self) -> Grid:
        """Grid of the T' frame scores of a clip, each over `time_stride` log-mel frames."""
        return self._grid(self.network.time_stride)

    @property
    def logmel_grid(self) -> Grid:
        """Grid of the T log-mel frames of a clip."""
        return self._grid(1)

    def _grid(self, n_pooled: int) -> Grid:
        window, hop = int(self.features["window"]), int(self.features["hop"])
        return Grid.of(self.sample_rate, self.n_samples, window, hop, n_pooled)

    def tagged(self, clip: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """(…, C) whether clip scores are above their thresholds, compared in float32."""
        threshold = np.array(self.tag_threshold, np.float32)
        tagged: npt.NDArray[np.bool_] = clip.astype(np.float32) > threshold
        return tagged

    def tags(self, clip: npt.NDArray[np.floating]) -> list[tuple[str, float]]:
        """Labels and clip scores of the classes above their thresholds, highest first."""
        scores = zip(self.classes, clip.tolist(), self.tagged(clip), strict=True)
        tags = [(label, score) for label, score, is_tagged in scores if is_tagged]
        return sorted(tags, key=lambda tag: -tag[1])

    def plain(self) -> dict[str, Any]:
        """The card as plain values, with the network's options at the top level."""
        values = asdict(self)
        del values["network"]
        # Absent parts are omitted, as in earlier versions.
        values = {key: each for key, each in values.items() if each or key not in HEAD_FIELDS}
        if self.encoder is None:
            values = {key: each for key, each in values.items() if key not in ENCODER_FIELDS}
        return {**plain_settings(self.network), **values}

    def build_network(self) -> nn.Module:
        """Build the network with fresh weights."""
        frames = frame_input(self.encoder, self.logmel_grid)
        return self.network.build(len(self.classes), self.n_frames, self.n_mels, frames)

    def build_head(self, name: str) -> nn.Module:
        """Build a head of the network with fresh weights."""
        sizes = Sizes(len(self.classes), self.n_frames, self.n_mels, self.scenes)
        return build_head(name, self.network, sizes)

    def build_logmel(self) -> LogMel:
        """Build the front end that the network was trained on."""
        return LogMel(self.sample_rate, **self.features)  # type: ignore[arg-type]

    def build_standardiser(self, array: str = "logmel") -> Standardiser:
        """Build the standardiser of an input."""
        if array == "frames":
            return Standardiser(self.frames_mean, self.frames_std)
        return Standardiser(self.mean, self.std)


def read_card(data: Mapping[str, Any]) -> ModelCard:
    """Read a card from the values that `ModelCard.plain` returns.

    Raises:
        SedmtlError: The post-processing is invalid.
        KeyError, TypeError, ValueError: The values are not a card, or are inconsistent.
    """
    if not isinstance(data["classes"], list):
        raise TypeError("its classes are not a list")
    names = ("classes", "tag_threshold", *HEAD_FIELDS)
    lists = {key: tuple(data[key]) for key in names if key in data}
    settings: dict[str, Any] = {
        key: PostProcessing(**{**data[key], "threshold": tuple(data[key]["threshold"])})
        for key in ("postprocessing", "streaming")
        if data.get(key) is not None
    }
    network = read_settings(data)
    if "encoder" in data:
        lists |= {key: tuple(data[key]) for key in ("frames_mean", "frames_std")}
        settings["encoder"] = EncoderCard.read(data["encoder"])
    others = {key: value for key, value in data.items() if key not in plain_settings(network)}
    card = ModelCard(network, **{**others, **lists, **settings})
    _check(card)
    return card


def check_classes(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    """Read class names, without duplicates; an item may list several, separated by commas.

    Raises:
        SedmtlError: A name is unknown; the closest are listed.
    """
    spelt = {class_name(label): label for label in known}
    items = [class_name(item) for item in asked]
    parts = [[item] if item in spelt else item.split(",") for item in items]
    names = list(dict.fromkeys(name.strip() for part in parts for name in part))
    for name in names:
        if name not in spelt:
            by_lower = {label.lower(): label for label in known}
            nearest = [by_lower[key] for key in get_close_matches(name.lower(), by_lower, 5, 0.0)]
            raise SedmtlError(
                f"no class '{name}': of the network's {len(known)} the nearest are "
                f"{', '.join(nearest)}"
            )
    return [spelt[name] for name in names]


def _check(card: ModelCard) -> None:
    """Raise a ValueError that names what is invalid or inconsistent."""
    window, hop, n_classes = card.features["window"], card.features["hop"], len(card.classes)
    sizes = [card.network.width, card.n_frames, card.n_mels, card.sample_rate, card.n_samples]
    settings = [card.postprocessing, *([card.streaming] if card.streaming else [])]
    n_dims = card.encoder.n_dims if card.encoder else 0
    lists = (card.tag_threshold, *(each.threshold for each in settings))
    fits = {
        "sizes": all(type(size) is int and 0 < size <= MAX_SIZE for size in [*sizes, window, hop]),
        "clip": window <= card.n_samples,
        "frames": card.n_frames == n_frames(card.n_samples, int(window), int(hop)),
        "mel bins": card.n_mels == card.features["n_mels"] == len(card.mean) == len(card.std),
        "encoder": ("frames" in card.network.inputs) == (card.encoder is not None)
        and n_dims == len(card.frames_mean) == len(card.frames_std)
        and bool(np.isfinite((*card.frames_mean, *card.frames_std)).all()),
        "classes": n_classes > 0 and all(isinstance(name, str) for name in card.classes),
        "thresholds": all(len(each) == n_classes for each in lists),
        "standardiser": all(abs(each) <= MAX_LOGMEL for each in (*card.mean, *card.std)),
        "filter": all(
            max(each.median_s, each.step_s) * card.sample_rate <= MAX_SIZE for each in settings
        ),
        "numbers": all(np.isfinite(np.asarray(each, float)).all() for each in lists),
        "training": {"alpha", "precision"} <= set(card.training),
        "heads": all(name in HEADS for name in card.heads),
        "scenes": ("scene" in card.heads) == bool(card.scenes)
        and all(isinstance(name, str) for name in card.scenes),
    }
    for name, fit in fits.items():
        if not fit:
            raise ValueError(f"invalid {name}")
    if excess := find_excess(card.n_samples, int(window), int(hop), card.n_mels):
        raise ValueError(excess)
