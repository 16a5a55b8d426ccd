"""The layers of the package: which module may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import sedmtl

ROOT = Path(sedmtl.__file__).parent

# From the top. A module imports from itself, its own layer or a lower one.
LADDER = [
    ["cli", "__main__"],
    ["review"],
    ["report"],
    ["evaluation"],
    ["training"],
    ["inference"],
    ["features"],
    ["data"],
    ["store", "models", "metrics", "logmel", "events", "config", "label_files"],
    ["classes"],
    ["runtime"],
    ["__init__"],
]
RUNG = {name: rung for rung, names in enumerate(LADDER) for name in names}

# Libraries that only one module may import.
KEEPERS = {
    "h5py": {"store"},
    "torchaudio": {"logmel"},
    "soundfile": {"data.audio", "report.embedding"},
    "soxr": {"data.audio"},
    "safetensors": {"inference.checkpoint"},
    "matplotlib": {"report.figures"},
    "pydantic": {"config"},
    "typer": {"cli"},
    "jinja2": {"report.html"},
    "onnx": {"features.encoder.runtimes.onnx"},
    "onnxruntime": {"features.encoder.runtimes.onnx", "inference.onnx_parity"},
    "onnxscript": {"inference.onnx", "inference.onnx_encoder"},
    "onnx_ir": {"inference.onnx_encoder"},
    "ai_edge_litert": {"features.encoder.runtimes.tflite"},
    "distributed": {"runtime.workers.cluster"},
}


def dotted(path):
    """The name of a module within sedmtl, such as `workers.cluster`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def noun_of(path):
    """The module or package directly below sedmtl that a file belongs to."""
    return dotted(path).split(".")[0]


@cache
def imports_of(path):
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path):
    own = noun_of(path)
    if own == "__init__":
        return  # imports the detector for `sedmtl.load` when called
    for name in imports_of(path):
        if name.startswith("sedmtl."):
            other = name.split(".")[1]
            other = other if other in RUNG else "__init__"
            assert RUNG[other] >= RUNG[own], f"{own} imports {name}, which stands above it"


@pytest.mark.parametrize(("library", "keepers"), KEEPERS.items())
def test_a_library_is_imported_by_its_wrapper_only(library, keepers):
    knowing = {
        dotted(path) for path in FILES if library in {n.split(".")[0] for n in imports_of(path)}
    }
    found = {
        next((keeper for keeper in keepers if f"{name}.".startswith(f"{keeper}.")), name)
        for name in knowing
    }
    assert found == keepers


LEAVES = [
    path for path in FILES if "A leaf" in (ast.get_docstring(ast.parse(path.read_text())) or "")
]


@pytest.mark.parametrize("path", LEAVES, ids=dotted)
def test_a_leaf_module_imports_only_a_few_leaves_of_runtime(path):
    inside = {name for name in imports_of(path) if name.startswith("sedmtl.")}
    leaves = ("errors.", "process.", "progress", "regular.")
    leaf = tuple(f"sedmtl.runtime.{name}" for name in leaves)
    assert all(name.startswith(leaf) for name in inside)


def test_models_import_torch_only():
    for path in (ROOT / "models").glob("*.py"):
        for name in imports_of(path):
            library = name.split(".")[0]
            allowed = library in sys.stdlib_module_names or library == "torch"
            inside = name.startswith(("sedmtl.models", "sedmtl.runtime.errors"))
            assert allowed or inside, f"{path.name} imports {name}"


@pytest.mark.parametrize("arguments", ["--help", "train --help", "--version"])
def test_help_imports_neither_torch_nor_other_slow_modules(arguments):
    code = (
        "import sys; from sedmtl.cli.app import app\n"
        f"try: app({arguments.split()!r})\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'h5py', 'yaml'}\n"
        "sys.exit(f'imported {slow & set(sys.modules)}' if slow & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_extras_are_imported_only_where_they_are_used():
    extras = {"onnx", "onnxruntime", "onnxscript", "onnx_ir", "ai_edge_litert", "tensorboard",
              "pyarrow", "dask", "distributed"}  # fmt: skip
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
                assert not {name.split(".")[0] for name in names} & extras, path


@pytest.mark.slow
def test_every_module_is_imported_on_a_system_without_unix():
    code = (
        "import importlib, os, pkgutil, sys, torch, sedmtl\n"
        "sys.modules |= dict.fromkeys(('fcntl', 'grp', 'pwd', 'resource', 'termios'))\n"
        "del os.posix_fallocate, os.sched_getaffinity\n"
        "for found in pkgutil.walk_packages(sedmtl.__path__, 'sedmtl.'):\n"
        "    if found.name != 'sedmtl.__main__': importlib.import_module(found.name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_functions_are_short():
    """At most 60 lines, docstring included."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path.name}: {node.name}"
