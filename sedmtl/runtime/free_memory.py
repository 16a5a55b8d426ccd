"""Free memory of a GPU, or of the machine within this process's limits."""

from __future__ import annotations

import os
from pathlib import Path

import torch

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Free memory of a device, in bytes.

    On the CPU, this is the memory available without swapping, within the limits of the control
    groups (version 2) that a container or scheduler has put this process into. Where the system
    does not report it, half of all memory.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([_free_in_system(), *_free_in_groups()])


def _free_in_system() -> int:
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line[:13] == "MemAvailable:")
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _free_in_groups() -> list[int]:
    """Free bytes in each control group of this process; reclaimable file pages count as free."""
    try:
        names = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((name.removeprefix("0::/") for name in names if name.startswith("0::")), "")
    free = []
    for folder in (GROUPS / own, *(GROUPS / own).parents):
        if not folder.is_relative_to(GROUPS):
            break
        try:
            limit = (folder / "memory.max").read_text().strip()
            used = int((folder / "memory.current").read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            if limit != "max":
                free.append(max(0, int(limit) - used + int(stat.get("inactive_file", 0))))
        except (OSError, ValueError):
            continue
    return free
