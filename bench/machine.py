"""The machine, what is installed on it, and the memory that a process has used."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "numpy", "soxr", "soundfile", "h5py", "sedmtl")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Instructions that decide how fast a CPU multiplies."""


def describe() -> dict[str, object]:
    """CPU, cores that this process may use, memory."""
    cpu = _cpu_fields()
    flags = cpu.get("flags", "").split()
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cores": _n_cores(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "ram_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Of Python and of all that the time is spent in."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def commit() -> str:
    """The commit that is measured; ends in -dirty where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def peak_mb() -> float:
    """Peak of resident memory of this process, or of the largest that it has started and ended."""
    children = _maxrss_mb(resource.RUSAGE_CHILDREN)
    # Linux hands the peak of the starting process on to rusage of the started one; not to this.
    own = [line for line in _lines("/proc/self/status") if line.startswith("VmHWM:")]
    return max(children, int(own[0].split()[1]) / 1024 if own else _maxrss_mb(resource.RUSAGE_SELF))


def _gpu() -> str:
    """Names of NVIDIA GPUs, as their driver gives them; empty where there is none."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ", ".join(done.stdout.split("\n")).rstrip(", ")


def _maxrss_mb(who: int) -> float:
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(who).ru_maxrss * unit / 1024**2


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_fields() -> dict[str, str]:
    """Of the first core."""
    pairs = (line.split(":", 1) for line in _lines("/proc/cpuinfo") if ":" in line)
    fields: dict[str, str] = {}
    for key, value in pairs:
        fields.setdefault(key.strip(), value.strip())
    return fields


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
