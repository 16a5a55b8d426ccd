"""`sedmtl export`: a run folder -> an ONNX file."""

from __future__ import annotations

from pathlib import Path

from sedmtl.checkpoint import find_run, load_model
from sedmtl.config import Config
from sedmtl.files.whole import write_bytes
from sedmtl.graph import build_graph


def export(config: Config, run_name: str, out_path: Path | None = None) -> Path:
    """Write the network of a run as one ONNX file, on the CPU whatever it was trained on.

    Args:
        config: Of the project; says where runs are.
        run_name: Name or path of a finished run.
        out_path: By default `model.onnx` in the run folder.

    Returns:
        The file.

    Raises:
        SedmtlError: There is no such run, onnxscript is not installed, or the file cannot be
            written.
    """
    run = find_run(config.work_dir / "runs", run_name)
    card, network = load_model(run)
    path = out_path or run / "model.onnx"
    write_bytes(path, build_graph(card, network, run.resolve().name))
    return path
