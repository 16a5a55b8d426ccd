"""Out-of-memory errors as one-sentence messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sedmtl.runtime.errors import SedmtlError, is_out_of_memory
from sedmtl.runtime.text import counted
from sedmtl.training.config import TrainConfig


@contextmanager
def enough_memory(config: TrainConfig) -> Iterator[None]:
    """Turn running out of memory, on a GPU or the host, into an error that suggests a remedy.

    Raises:
        SedmtlError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = "the GPU" if isinstance(error, torch.cuda.OutOfMemoryError) else "this machine"
        smaller = max(1, config.micro_batch // 2) if config.micro_batch else "auto"
        raise SedmtlError(
            f"{where} has too little memory for {counted(config.n_at_once, 'clip')} at once and "
            f"--width {config.network.width}: try --batch-size {smaller}, or a smaller --width"
        ) from error
