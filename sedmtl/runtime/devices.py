"""Device and precision of a computation."""

from __future__ import annotations

from typing import Literal

import torch

from sedmtl.runtime import distributed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import counted

Precision = Literal["float32", "bfloat16"]


def choose_device(n_gpus: int | None) -> torch.device:
    """Choose the device of this process; by default a GPU if there is one.

    Raises:
        SedmtlError: More GPUs are requested than the machine has.
    """
    if distributed.world_size() > 1:
        return distributed.device()
    found = torch.cuda.device_count()
    if n_gpus is None:
        n_gpus = min(found, 1)
    if n_gpus > found:
        raise SedmtlError(
            f"--gpus {n_gpus}: found {counted(found, 'GPU')} on this machine; ask for "
            f"--gpus {found}, or leave the option out"
        )
    return torch.device("cuda" if n_gpus else "cpu")


def choose_precision(device: torch.device) -> Precision:
    """bfloat16 where the hardware supports it, float32 elsewhere.

    On a CPU with AVX512-BF16, bfloat16 made the training step 2.5 times as fast (channels last);
    without AVX512-BF16 it is emulated and slower.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"
