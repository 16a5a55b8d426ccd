"""Run folders, and the settings in their run.yaml.

    run.yaml           the resolved settings, and the store that was read
    metrics.jsonl      one line per epoch
    last.pt            the training state; read with `weights_only`, so it cannot run code
    model.safetensors  weights of the validation-selected epoch
    model.json         all else that prediction needs: classes, front end, standardiser, sizes
    scores.h5          held-out scores under both selections, written by `store`
    trained_on.json    the recordings that the weights were trained on, for `train --from`
    train.log          output of the run, if it was trained as part of a grid
    events.out.*       TensorBoard event files, if requested
    localisation.json  cached results of `eval`
    model.onnx         written by `export`
    encoder.onnx       written by `export --encoder`

Training writes `model.safetensors` last, which marks the run as finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sedmtl.models.registry import MODELS, read_settings
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.documents import CHECKSUM, parse_json, parse_yaml, sealed, unsealed
from sedmtl.runtime.errors import SedmtlError, pass_on_trouble, suggest
from sedmtl.runtime.folders import entries, is_file
from sedmtl.runtime.regular import read_text
from sedmtl.runtime.text import is_name

REQUIRED: Mapping[str, type | tuple[type, ...]] = {
    "data": str, "fold": int, "model": str, "attention": str, "time_attention": str,
    "reconstruction": str, "alpha": (float, int, str), "width": int, "epochs": int, "seed": int,
    "n_parameters": int,
}  # fmt: skip
"""Required keys of `run.yaml`, with their types."""

WEIGHT_RULES = ("auto", "dwa")
"""Values of `alpha` other than a number: rules that set it."""

DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
          RuntimeError, MemoryError)  # fmt: skip
"""Errors that corrupt run files can raise."""


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
        settings = unsealed_if_sealed(parse_yaml(read_text(path)))
        _check_settings(settings)
    except FileNotFoundError:
        raise SedmtlError(f"{folder} is not a run: expected a run.yaml in it") from None
    except DAMAGE as error:
        pass_on_trouble(error)
        raise SedmtlError(f"{path} is damaged: train the run again with --force") from error
    return settings


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError if settings are missing or invalid."""
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
    """Raise a ValueError if a store's name cannot be used in file names of runs."""
    if not is_name(data):
        raise ValueError(f"no data are called {data}")
    if data.startswith("snr_"):
        float(data.removeprefix("snr_"))


def read_records(run: Path) -> list[Any]:
    """Read `metrics.jsonl`: a record per epoch.

    Raises:
        OSError, ValueError: The file is missing or invalid.
    """
    return [parse_json(line) for line in _lines(run)]


def n_epochs_done(run: Path) -> int:
    """Number of finished epochs by the last line of `metrics.jsonl`; 0 if there is none."""
    try:
        return max(0, int(parse_json(_lines(run)[-1])["epoch"]))
    except DAMAGE:
        return 0


def _lines(run: Path) -> list[str]:
    return read_text(run / "metrics.jsonl").splitlines()


def is_finished(run: Path) -> bool:
    """Whether the folder holds a finished run."""
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


def unsealed_if_sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Verify and remove the checksum, which early versions do not have."""
    return unsealed(data) if CHECKSUM in data else dict(data)
