"""The run folder: what decides a run, what it learned, and how to go on with it.

    run.yaml           the recipe, resolved, and the store it read
    metrics.jsonl      one line an epoch
    last.pt            the loop's state; read with `weights_only`, so it cannot run code
    model.safetensors  weights of the epoch that the inner validation chose
    model.json         all else that prediction needs: classes, front end, standardiser, sizes
    scores.h5          held-out scores under both selections, written by `stores`

`model.safetensors` appears last of all and marks the run as finished.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

import sedmtl
from sedmtl.errors import SedmtlError, suggest
from sedmtl.files import write_bytes, write_text
from sedmtl.logmel import LogMel, Standardiser
from sedmtl.models import build_model, has_decoder
from sedmtl.models.attention_step import AttentionForm
from sedmtl.models.autoencoder import ReconstructionEnd
from sedmtl.models.two_step_attention import TimeAttention
from sedmtl.postprocess import PostProcessing

SCHEMA = 2

REQUIRED = ("data", "fold", "model", "attention", "time_attention", "reconstruction", "alpha",
            "width", "epochs", "seed", "n_parameters")  # fmt: skip
"""What a `run.yaml` must say for others to speak of the run."""


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


def save_model(folder: Path, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
    """Write `model.json`, then `model.safetensors`."""
    data = {"schema": SCHEMA, "sedmtl_version": sedmtl.__version__, **asdict(card)}
    write_text(folder / "model.json", json.dumps(data, indent=1, ensure_ascii=False))
    content = save({key: value.contiguous() for key, value in weights.items()})
    write_bytes(folder / "model.safetensors", content)


def load_model(folder: Path) -> tuple[ModelCard, nn.Module]:
    """Read a finished run.

    Returns:
        Its card, and its network in evaluation mode on the CPU.

    Raises:
        SedmtlError: The folder holds no finished run, or its files do not fit each other.
    """
    card = load_card(folder)
    try:
        network = card.build_network()
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder, error) from error
    return card, network.eval()


def load_card(folder: Path) -> ModelCard:
    """Read what a finished run says of itself, without its weights.

    Raises:
        SedmtlError: The folder holds no finished run, or its card is damaged.
    """
    if not is_finished(folder):
        raise SedmtlError(f"{folder} holds no trained network: train one with 'sedmtl train'")
    try:
        data = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            raise SedmtlError(
                f"{folder / 'model.json'} has another schema than {SCHEMA}: train the run again"
            )
        data.pop("sedmtl_version")
        return _read_card(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> SedmtlError:
    reason = " ".join(str(error).split())[:200]
    return SedmtlError(f"the run {folder} is damaged ({reason}): train it again")


def _read_card(data: dict[str, Any]) -> ModelCard:
    lists = {key: tuple(data[key]) for key in ("classes", "tag_threshold")}
    settings = data["postprocessing"]
    settings = PostProcessing(**{**settings, "threshold": tuple(settings["threshold"])})
    return ModelCard(**{**data, **lists, "postprocessing": settings})


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the loop's state; the old one stays until the new one is whole."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    write_bytes(folder / "last.pt", content.getvalue())


def load_state(folder: Path) -> dict[str, Any]:
    """Read the loop's state, on the CPU; never runs code from it.

    Raises:
        SedmtlError: The file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(
            folder / "last.pt", map_location="cpu", weights_only=True
        )
    except Exception as error:  # torch documents no exception types here
        raise SedmtlError(
            f"{folder / 'last.pt'} is damaged: start the run anew with --force"
        ) from error
    return state


def write_run(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write `run.yaml`."""
    write_text(folder / "run.yaml", yaml.safe_dump(dict(settings), sort_keys=False))


def read_run(folder: Path) -> dict[str, Any]:
    """Read `run.yaml`.

    Raises:
        SedmtlError: It is missing or damaged.
    """
    path = folder / "run.yaml"
    try:
        settings = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
        missing = [key for key in REQUIRED if key not in settings]
        if missing:
            raise ValueError(f"no {missing[0]}")
    except FileNotFoundError:
        raise SedmtlError(f"{folder} is no run: expected a run.yaml in it") from None
    except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise SedmtlError(f"{path} is damaged: train the run again with --force") from error
    return settings


def is_finished(run: Path) -> bool:
    """Whether the folder holds a run that was trained to its end."""
    return (run / "model.safetensors").is_file()


def finished_runs(runs_dir: Path) -> list[Path]:
    """The finished runs of a work folder, the newest last."""
    found = [path.parent for path in runs_dir.glob("*/model.safetensors")]
    return sorted(found, key=lambda run: ((run / "model.safetensors").stat().st_mtime, run.name))


def find_run(runs_dir: Path, name: str | None) -> Path:
    """A run by name or path, or the newest finished one.

    Raises:
        SedmtlError: There is none.
    """
    runs = finished_runs(runs_dir)
    if name is None:
        if not runs:
            raise SedmtlError(
                f"no finished run in {runs_dir}: train one with 'sedmtl train --fold 1'"
            )
        return runs[-1]
    for folder in (runs_dir / name, Path(name)):
        if (folder / "run.yaml").is_file() or is_finished(folder):
            return folder
    raise SedmtlError(f"no run '{name}' in {runs_dir}: {suggest(name, [run.name for run in runs])}")
