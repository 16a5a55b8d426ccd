"""A trained network in its run folder: `model.json` and `model.safetensors`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

import sedmtl
from sedmtl.features.encoder import Encoder
from sedmtl.inference.model_card import ModelCard, read_card
from sedmtl.inference.runs import DAMAGE, is_finished, unsealed_if_sealed
from sedmtl.inference.weights import join_weights, split_weights
from sedmtl.runtime.atomic import write_bytes, write_text
from sedmtl.runtime.documents import parse_json, sealed
from sedmtl.runtime.errors import SedmtlError, pass_on_trouble
from sedmtl.runtime.regular import read_bytes, read_text

SCHEMA = 2

LARGEST_WEIGHT = 1e9
"""Training ends far below it. Beyond it a network may overflow where a sigmoid hides it, and score
every sound as none."""


def save_model(folder: Path, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
    """Write `model.json`, then `model.safetensors`, whose digest is in it."""
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


def load_model(folder: Path) -> tuple[ModelCard, nn.Module]:
    """The card of a finished run, and its network in evaluation mode on the CPU.

    Raises:
        SedmtlError: The folder holds no finished run, or its files have changed or do not fit each
            other.
    """
    card, modules = load_modules(folder)
    return card, modules[""]


def load_heads(folder: Path) -> dict[str, nn.Module]:
    """The heads of a finished run by name, of those tasks whose outputs are used; as `load_model`.

    Detection does without them.
    """
    _, modules = load_modules(folder)
    del modules[""]
    return modules


def load_modules(folder: Path) -> tuple[ModelCard, dict[str, nn.Module]]:
    """The card, the network under an empty name, and its heads; as `load_model`."""
    card, digest = _load_card(folder)
    try:
        content = read_bytes(folder / "model.safetensors")
        if digest not in (None, hashlib.sha256(content).hexdigest()):
            raise ValueError("its weights are not what was written")
        weights = load(content)
        _check_weights(card, weights)
        modules = _modules_of(card)
        for name, module in modules.items():
            module.load_state_dict(split_weights(weights, name))
    except (*DAMAGE, SafetensorError) as error:
        raise _damaged(folder, error) from error
    return card, {name: module.eval() for name, module in modules.items()}


def _modules_of(card: ModelCard) -> dict[str, nn.Module]:
    return {"": card.build_network(), **{name: card.build_head(name) for name in card.heads}}


def _check_weights(card: ModelCard, weights: Mapping[str, Tensor]) -> None:
    """Before a network is built, which of wrong sizes may take all memory."""
    with torch.device("meta"):
        modules = _modules_of(card)
        expected = join_weights(modules.pop(""), modules)
    wanted = {key: value.shape for key, value in expected.items()}
    if {key: value.shape for key, value in weights.items()} != wanted:
        raise ValueError("its weights are of another network, or of tasks of another version")
    if not all(value.isfinite().all() for value in weights.values()):
        raise ValueError("its weights hold NaN or infinity")
    if any(value.abs().max() > LARGEST_WEIGHT for value in weights.values() if value.numel()):
        raise ValueError(f"its weights are not all within ±{LARGEST_WEIGHT:.0e}")


def load_encoder(folder: Path, card: ModelCard, path: Path | None) -> Encoder | None:
    """The encoder that a run has learned from, from the user's file; None if there is none.

    Raises:
        SedmtlError: No file is given, or it is another one than the run's.
    """
    if card.encoder is None:
        return None
    if path is None or not path.is_file():
        found = "" if path is None else f", found no file {path}"
        raise SedmtlError(
            f"the run {folder.name} listens through the encoder {card.encoder.name} (SHA-256 "
            f"{card.encoder.sha256[:12]}…), last seen as {card.encoder.path}{found}: name its file "
            "with features.encoder in data.yaml, or with sedmtl.load(run, encoder=FILE)"
        )
    return Encoder.reopen(card.encoder, path)


def load_card(folder: Path) -> ModelCard:
    """The card of a finished run, without its weights.

    Raises:
        SedmtlError: The folder holds no finished run, or its card is damaged.
    """
    return _load_card(folder)[0]


def _load_card(folder: Path) -> tuple[ModelCard, str | None]:
    """The card, and the digest of the weights: None in a run of before there was one."""
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
