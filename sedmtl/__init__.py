"""Weakly labelled sound event detection: mix, features, train, eval, visualize.

`train` trains a network as the command of that name does, `load` opens a trained run, and both
raise `SedmtlError`. For everything else use the command line (`sedmtl --help`), or import the
module that holds it.
"""

from __future__ import annotations

import sys

# `python -m sedmtl` puts the current folder first on the module path, where a project's own
# yaml.py would be imported.
if (
    sys.argv[:1] == ["-m"]
    and sys.orig_argv[-len(sys.argv)].endswith("sedmtl")
    and not sys.flags.safe_path
):
    sys.path.pop(0)

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sedmtl.runtime.errors import SedmtlError

if TYPE_CHECKING:
    from sedmtl.events import Detection
    from sedmtl.inference.detector import Detector
    from sedmtl.inference.embedding import Embedding
    from sedmtl.inference.inspection import Inspection
    from sedmtl.inference.postprocess import PostProcessing
    from sedmtl.inference.prediction import Prediction
    from sedmtl.training.interface import train
    from sedmtl.training.run import Epoch, Run, StopTraining

__all__ = [
    "Detection",
    "Detector",
    "Embedding",
    "Epoch",
    "Inspection",
    "PostProcessing",
    "Prediction",
    "Run",
    "SedmtlError",
    "StopTraining",
    "__version__",
    "load",
    "train",
]
__version__ = "0.1.0"

_HOMES = {
    "Detection": "events",
    "Detector": "inference.detector",
    "Embedding": "inference.embedding",
    "Epoch": "training.run",
    "Inspection": "inference.inspection",
    "PostProcessing": "inference.postprocess",
    "Prediction": "inference.prediction",
    "Run": "training.run",
    "StopTraining": "training.run",
    "train": "training.interface",
}
"""Modules of the names that are imported on first use: importing torch takes seconds."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sedmtl' has no attribute '{name}'")
    return getattr(import_module(f"sedmtl.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load(
    run: str | Path | None = None, *, device: str = "cpu", encoder: str | Path | None = None
) -> Detector:
    """Open a trained run.

    Args:
        run: A run folder, as `sedmtl train` writes it below `work/runs`; or, if the current folder
            has a `data.yaml`, the name of a run. By default the project's newest finished run.
        device: PyTorch device: `cpu`, `cuda`, `cuda:1`.
        encoder: File of the frozen encoder, if the run was trained on its frames; by default the
            one named by a `data.yaml` in the current folder.

    Raises:
        SedmtlError: There is no such run, or it holds no finished network; for an unknown name,
            the message suggests the nearest one.

    Examples:
        >>> detector = sedmtl.load(run)
        >>> prediction = detector.predict("clip.wav")
        >>> event = max(prediction.events, key=lambda event: event.score)
        >>> event.label in prediction.classes
        True
        >>> 0 <= event.onset_s < event.offset_s <= prediction.duration_s
        True
        >>> prediction.frame.shape == (len(prediction.classes), len(prediction.frame_edges_s) - 1)
        True
    """
    from sedmtl.config import load_config_if_any
    from sedmtl.inference.checkpoint import check_encoder_is_used, load_card
    from sedmtl.inference.detector import Detector
    from sedmtl.inference.runs import find_run, is_finished

    if run is None or not is_finished(Path(run)):
        runs_dir = load_config_if_any(Path("data.yaml")).work_dir / "runs"
        run = find_run(runs_dir, None if run is None else str(run))
    card = load_card(Path(run))
    check_encoder_is_used({Path(run).name: card}, None if encoder is None else Path(encoder))
    if encoder is None and card.encoder is not None:
        encoder = load_config_if_any(Path("data.yaml")).encoder_path
    return Detector.load(run, device, encoder=encoder)
