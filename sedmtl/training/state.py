"""Saves and loads the training state between epochs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sedmtl.runtime.atomic import write_bytes
from sedmtl.runtime.errors import SedmtlError, pass_on_trouble
from sedmtl.runtime.regular import require_readable


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the training state atomically."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    write_bytes(folder / "last.pt", content.getvalue())


def load_state(folder: Path) -> dict[str, Any]:
    """Read the training state to the CPU, without executing code from the file.

    Raises:
        SedmtlError: The file is damaged.
    """
    try:
        require_readable(folder / "last.pt")
        n_bytes = (folder / "last.pt").stat().st_size
        with zipfile.ZipFile(folder / "last.pt") as archive:
            if sum(each.file_size for each in archive.infolist()) > n_bytes:
                raise ValueError("it claims more than it has")
            damaged = archive.testzip()  # torch does not verify checksums
        if damaged:
            raise ValueError(f"{damaged} is not what was written")
        state: dict[str, Any] = torch.load(
            folder / "last.pt", map_location="cpu", weights_only=True
        )
    except Exception as error:  # torch does not document which exceptions it raises
        pass_on_trouble(error)
        raise SedmtlError(
            f"{folder / 'last.pt'} is damaged: start the run over with --force"
        ) from error
    return state


def outdated_task(state: Mapping[str, Any], tasks: Mapping[str, nn.Module]) -> str | None:
    """The first task whose weights in a state are of another version; None if all fit.

    Args:
        state: From `load_state`.
        tasks: The tasks as built now, by name; they may be on the meta device.
    """
    kept = {key: tensor.shape for key, tensor in state.get("tasks", {}).items()}
    for name, task in tasks.items():
        begin = f"{name}."
        now = {begin + key: tensor.shape for key, tensor in task.state_dict().items()}
        if now != {key: shape for key, shape in kept.items() if key.startswith(begin)}:
            return name
    return None
