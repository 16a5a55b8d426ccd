"""The run folder: what decides a run, what it learned, and how to go on with it.

    run.yaml           the recipe, resolved, and the store it read
    metrics.jsonl      one line an epoch
    last.pt            the loop's state; read with `weights_only`, so it cannot run code
    model.safetensors  weights of the epoch that the inner validation chose
    model.json         all else that prediction needs: classes, front end, standardiser, sizes
    scores.h5          held-out scores under both selections, written by `store`
    trained_on.json    the recordings that its weights have learned from, for `train --from`
    train.log          what the run said, if it was trained in a process of a grid
    events.out.*       TensorBoard's event files, if they were asked for
    localisation.json  what `eval` measured, to be taken up by the next one
    model.onnx         what `export` made of it
    encoder.onnx       what `export --encoder` did

Of what training writes, `model.safetensors` appears last and marks the run as finished.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

import sedmtl
from sedmtl.features.encoder import Encoder
from sedmtl.inference.model_card import ModelCard as ModelCard
from sedmtl.inference.model_card import read_card
from sedmtl.inference.weights import join_weights, split_weights
from sedmtl.models.registry import MODELS, read_settings
from sedmtl.runtime.atomic import write_bytes, write_text
from sedmtl.runtime.documents import CHECKSUM, parse_json, parse_yaml, sealed, unsealed
from sedmtl.runtime.errors import SedmtlError, pass_on_trouble, suggest
from sedmtl.runtime.folders import entries, is_file
from sedmtl.runtime.regular import read_bytes, read_text, require_readable
from sedmtl.runtime.text import is_name

SCHEMA = 2

REQUIRED: Mapping[str, type | tuple[type, ...]] = {
    "data": str, "fold": int, "model": str, "attention": str, "time_attention": str,
    "reconstruction": str, "alpha": (float, int, str), "width": int, "epochs": int, "seed": int,
    "n_parameters": int,
}  # fmt: skip
"""What a `run.yaml` must say for others to speak of the run."""

WEIGHT_RULES = ("auto", "dwa")
"""What `alpha` may be beside a number: a rule that finds it."""

LARGEST_WEIGHT = 1e9
"""Training ends far below it. Beyond it a network may overflow where a sigmoid hides it, and score
every sound as none."""

DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
          RuntimeError, MemoryError, SafetensorError)  # fmt: skip
"""What files of a run that nobody wrote can end in."""


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
    card, modules = _load_modules(folder)
    return card, modules[""]


def load_heads(folder: Path) -> dict[str, nn.Module]:
    """The heads of a finished run by name, of those tasks whose outputs are used; as `load_model`.

    Detection does without them.
    """
    _, modules = _load_modules(folder)
    del modules[""]
    return modules


def _load_modules(folder: Path) -> tuple[ModelCard, dict[str, nn.Module]]:
    """The card, the network under an empty name, and its heads."""
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
    except DAMAGE as error:
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
        raise ValueError("its weights are of another network")
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
    if path is None:
        raise SedmtlError(
            f"the run {folder.name} listens through the encoder {card.encoder.name} (SHA-256 "
            f"{card.encoder.sha256[:12]}…), last seen as {card.encoder.path}: name its file with "
            "features.encoder in data.yaml, or with sedmtl.load(run, encoder=FILE)"
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
        data = _unsealed(data)
        digest = data.pop("weights_sha256", None)
        del data["schema"], data["sedmtl_version"]
        card = read_card(data)
    except DAMAGE as error:
        raise _damaged(folder, error) from error
    return card, digest


def _unsealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Without the seal, which runs of before there was one do not have."""
    return unsealed(data) if CHECKSUM in data else dict(data)


def _damaged(folder: Path, error: Exception) -> SedmtlError:
    pass_on_trouble(error)
    reason = " ".join(str(error).split())[:200]
    return SedmtlError(f"the run {folder} is damaged ({reason}): train it again")


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
        require_readable(folder / "last.pt")
        n_bytes = (folder / "last.pt").stat().st_size
        with zipfile.ZipFile(folder / "last.pt") as archive:
            if sum(each.file_size for each in archive.infolist()) > n_bytes:
                raise ValueError("it claims more than it has")
            damaged = archive.testzip()  # torch compares no checksum
        if damaged:
            raise ValueError(f"{damaged} is not what was written")
        state: dict[str, Any] = torch.load(
            folder / "last.pt", map_location="cpu", weights_only=True
        )
    except Exception as error:  # torch documents no exception types here
        pass_on_trouble(error)
        raise SedmtlError(
            f"{folder / 'last.pt'} is damaged: start the run anew with --force"
        ) from error
    return state


def write_run(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write `run.yaml`."""
    write_text(folder / "run.yaml", yaml.safe_dump(sealed(settings), sort_keys=False))


def read_run(folder: Path) -> dict[str, Any]:
    """Read `run.yaml`.

    Raises:
        SedmtlError: It is missing or damaged.
    """
    path = folder / "run.yaml"
    try:
        settings = _unsealed(parse_yaml(read_text(path)))
        _check_settings(settings)
    except FileNotFoundError:
        raise SedmtlError(f"{folder} is no run: expected a run.yaml in it") from None
    except DAMAGE as error:
        pass_on_trouble(error)
        raise SedmtlError(f"{path} is damaged: train the run again with --force") from error
    return settings


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError if they lack what others say of a run."""
    for key, kind in REQUIRED.items():
        if not isinstance(settings.get(key), kind):
            raise ValueError(f"no {key}")
    if not isinstance(settings.get("config", ""), str):
        raise ValueError("no text of a data.yaml")
    check_data_name(settings["data"])
    if settings["model"] not in MODELS or not 0 <= settings["fold"] < 256:
        raise ValueError("no such network or fold")
    read_settings(settings)
    if settings["alpha"] not in WEIGHT_RULES:
        float(settings["alpha"])


def check_data_name(data: str) -> None:
    """Raise a ValueError if no run can have a store's name, which stands in names of files."""
    if not is_name(data):
        raise ValueError(f"no data are called {data}")
    if data.startswith("snr_"):
        float(data.removeprefix("snr_"))


def n_epochs_done(run: Path) -> int:
    """Epochs that a run has behind it, by its `metrics.jsonl`; 0 if that says nothing."""
    try:
        lines = read_text(run / "metrics.jsonl").splitlines()
        return max(0, int(parse_json(lines[-1])["epoch"]))
    except DAMAGE:
        return 0


def is_finished(run: Path) -> bool:
    """Whether the folder holds a run that was trained to its end."""
    return is_file(run / "model.safetensors")


def finished_runs(runs_dir: Path) -> list[Path]:
    """The finished runs of a work folder, the newest last.

    Raises:
        SedmtlError: The folder, or one of a run, cannot be read.
    """
    found = [run for run in entries(runs_dir) if is_finished(run)]
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
            return folder if folder.name else folder.absolute()
    raise SedmtlError(f"no run '{name}' in {runs_dir}: {suggest(name, [run.name for run in runs])}")
