"""Saves and loads the network of a run: `model.json` and `model.safetensors`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

import sedmtl
from sedmtl.features.encoder import Encoder
from sedmtl.inference.model_card import ModelCard, read_card
from sedmtl.inference.runs import DAMAGE, is_finished, unsealed_if_sealed
from sedmtl.inference.weights import split_weights
from sedmtl.runtime.atomic import write_bytes, write_text
from sedmtl.runtime.documents import parse_json, sealed
from sedmtl.runtime.errors import SedmtlError, pass_on_trouble
from sedmtl.runtime.regular import read_bytes, read_text

SCHEMA = 2

LARGEST_WEIGHT = 1e9
"""Limit of absolute weights, far above those of trained networks. With larger ones a network may
overflow unnoticed behind a sigmoid, and score every sound as absent."""


def save_model(folder: Path, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
    """Write `model.json`, which includes the weights' digest, then `model.safetensors`."""
    content = save({key: value.contiguous() for key, value in weights.items()})
    data = {
        "schema": SCHEMA,
        "sedmtl_version": sedmtl.__version__,
        **card.plain(),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(sealed(data), indent=1, ensure_ascii=False)
    write_text(folder / "model.json", text)
    write_bytes(folder / "model.safetensors", content)


class HeadVersionError(SedmtlError):
    """The weights of a task head are of an earlier version; the network may still load."""


@dataclass(frozen=True)
class Checkpoint:
    """The card and weights of a finished run.

    Attributes:
        folder: The run folder.
        card: The model card.
        weights: The tensors, named as in `join_weights`.
        digest: SHA-256 of their file.
    """

    folder: Path
    card: ModelCard
    weights: Mapping[str, Tensor]
    digest: str

    def network(self) -> nn.Module:
        """Build the network in evaluation mode on the CPU; heads are not checked.

        Raises:
            SedmtlError: The weights do not match the card.
        """
        try:
            return _filled(self.card.build_network, split_weights(self.weights))
        except DAMAGE as error:
            raise _damaged(self.folder, error) from error

    def heads(self, *, only_fitting: bool = False) -> dict[str, nn.Module]:
        """Build the saved task heads, by task, which detection does not need.

        Args:
            only_fitting: Skip heads whose weights are of an earlier version.

        Raises:
            HeadVersionError: A head is of an earlier version, and `only_fitting` is off.
        """
        heads = {}
        for name in self.card.heads:
            build = partial(self.card.build_head, name)
            try:
                heads[name] = _filled(build, split_weights(self.weights, name))
            except DAMAGE as error:
                pass_on_trouble(error)
                if only_fitting:
                    continue
                raise HeadVersionError(
                    f"the head of --task {name} is of an earlier version of sedmtl: train the run "
                    f"{self.folder.name} again to use it"
                ) from error
        return heads


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the card and weights of a finished run.

    Raises:
        SedmtlError: The folder holds no finished run, or its files were changed.
    """
    card, digest = _load_card(folder)
    try:
        content = read_bytes(folder / "model.safetensors")
        found = hashlib.sha256(content).hexdigest()
        if digest not in (None, found):
            raise ValueError("its weights were changed")
        weights = load(content)
        if not all(value.isfinite().all() for value in weights.values()):
            raise ValueError("its weights hold NaN or infinity")
        if any(value.abs().max() > LARGEST_WEIGHT for value in weights.values() if value.numel()):
            raise ValueError(f"its weights are not all within ±{LARGEST_WEIGHT:.0e}")
    except (*DAMAGE, SafetensorError) as error:
        raise _damaged(folder, error) from error
    return Checkpoint(folder, card, weights, found)


def load_model(folder: Path) -> tuple[ModelCard, nn.Module]:
    """Load the card and network of a finished run; raises like `read_checkpoint` and `network`."""
    saved = read_checkpoint(folder)
    return saved.card, saved.network()


def _filled(build: Callable[[], nn.Module], weights: Mapping[str, Tensor]) -> nn.Module:
    """Build a module and load its weights.

    Shapes are compared first, on the meta device, since wrong sizes might exhaust memory.
    """
    with torch.device("meta"):
        wanted = {key: value.shape for key, value in build().state_dict().items()}
    if {key: value.shape for key, value in weights.items()} != wanted:
        raise ValueError("its weights belong to another network")
    module = build()
    module.load_state_dict(weights)
    return module.eval()


def load_encoder(folder: Path, card: ModelCard, path: Path | None) -> Encoder | None:
    """Open the user's file of a run's frozen encoder; None if the run has no such encoder.

    Raises:
        SedmtlError: The file is missing, or is not the run's encoder.
    """
    if card.encoder is None:
        return None
    if path is None or not path.is_file():
        found = "" if path is None else f", found no file {path}"
        raise SedmtlError(
            f"the run {folder.name} needs the frozen encoder {card.encoder.name} (SHA-256 "
            f"{card.encoder.sha256[:12]}…), last seen as {card.encoder.path}{found}: name its file "
            "with features.encoder in data.yaml, with --encoder of predict and visualize, or with "
            "sedmtl.load(run, encoder=FILE)"
        )
    return Encoder.reopen(card.encoder, path)


def check_encoder_is_used(cards: Mapping[str, ModelCard], encoder: Path | None) -> None:
    """Check that an encoder file given by the user is used by at least one of the runs.

    Raises:
        SedmtlError: All of them use only the log-mel.
    """
    if encoder is not None and all(card.encoder is None for card in cards.values()):
        raise SedmtlError(
            f"{' and '.join(cards)} would not use the encoder {encoder}: expected a run that has "
            "been trained on an encoder's frames; name another run, or leave the encoder out"
        )


def load_card(folder: Path) -> ModelCard:
    """Load the card of a finished run, without its weights.

    Raises:
        SedmtlError: The folder holds no finished run, or its card is damaged.
    """
    return _load_card(folder)[0]


def _load_card(folder: Path) -> tuple[ModelCard, str | None]:
    """The card, and the digest of the weights, which is None in early versions."""
    if not is_finished(folder):
        raise SedmtlError(f"{folder} holds no trained network: train one with 'sedmtl train'")
    try:
        data = parse_json(read_text(folder / "model.json"))
        if data["schema"] != SCHEMA:
            raise SedmtlError(
                f"{folder / 'model.json'} has another schema than {SCHEMA}: train the run again"
            )
        data = unsealed_if_sealed(data)
        digest = data.pop("weights_sha256", None)
        del data["schema"], data["sedmtl_version"]
        card = read_card(data)
    except (*DAMAGE, SafetensorError) as error:
        raise _damaged(folder, error) from error
    return card, digest


def _damaged(folder: Path, error: Exception) -> SedmtlError:
    pass_on_trouble(error)
    reason = " ".join(str(error).split())[:200]
    return SedmtlError(f"the run {folder} is damaged ({reason}): train it again")
