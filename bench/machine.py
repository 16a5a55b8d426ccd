"""Describes the machine and installed versions, and measures the memory of a process."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from sedmtl.runtime.workers.threads import all_cores

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "numpy", "soxr", "soundfile", "h5py", "sedmtl")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Instruction sets that determine a CPU's speed of matrix products."""


def describe() -> dict[str, object]:
    """Describe the CPU, the cores available to this process, memory and GPU."""
    cpu = _pairs("/proc/cpuinfo")
    gpus = _stdout("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cores": all_cores(),
        "flags": [flag for flag in FLAGS if flag in cpu.get("flags", "").split()],
        "ram_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": ", ".join(gpus.splitlines()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that take most of the time."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def commit() -> str:
    """The current commit, with -dirty appended if the working tree differs from it."""
    return _stdout("git", "describe", "--always", "--dirty", "--exclude=*") or "unknown"


def peak_mb() -> float:
    """Peak resident memory of this process, or of the largest of its finished children."""
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes on macOS, KiB elsewhere
    own, children = (
        resource.getrusage(who).ru_maxrss * unit / 1024**2
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    # On Linux a child's rusage starts from its parent's peak; VmHWM does not.
    high = _pairs("/proc/self/status").get("VmHWM")
    return max(children, int(high.split()[0]) / 1024 if high else own)


def _stdout(*command: str) -> str:
    """Output of a command; empty if it fails or does not exist."""
    with suppress(OSError, subprocess.CalledProcessError):
        return subprocess.check_output(
            command, cwd=ROOT, stderr=subprocess.DEVNULL, text=True
        ).strip()
    return ""


def _pairs(path: str) -> dict[str, str]:
    """Lines 'name: value' of a system file; empty if there is no such file."""
    with suppress(OSError):
        lines = (line.partition(":") for line in Path(path).read_text().splitlines())
        return {name.strip(): value.strip() for name, _, value in lines}
    return {}
