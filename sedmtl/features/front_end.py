"""Front end: waveforms of clips -> network inputs, the log-mel and an encoder's frames.

Stores and prediction share it, so that a network sees the same numbers as in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.data.audio import Audio
from sedmtl.features.encoder import Encoder
from sedmtl.logmel import LogMel
from sedmtl.runtime.workers.threads import all_cores


@dataclass(frozen=True)
class FrontEnd:
    """Computes the network inputs of clips.

    Attributes:
        logmel: Computes `logmel` (T, F).
        encoder: Computes `frames` (T', D), in the dtype of the stores; None without frames.
    """

    logmel: LogMel
    encoder: Encoder | None = None

    def __call__(self, waveform: Audio) -> Mapping[str, npt.NDArray[Any]]:
        """A clip (n_samples,) that went through `audio.conform` -> arrays by name."""
        # One clip at a time stays in the processor's cache: 1.4 times as fast.
        with torch.inference_mode():
            arrays = {"logmel": self.logmel(torch.from_numpy(waveform)[None])[0].numpy()}
        if self.encoder is not None:
            arrays["frames"] = self._frames_of_clip(waveform)
        return arrays

    def make(self, name: str, waveforms: Audio) -> Tensor:
        """Compute one float32 input (B, …) of clips (B, n_samples) after `audio.conform`.

        The result is on the device of the log-mel. Frames are computed on all cores.
        """
        device = self.logmel.filters.device
        with torch.inference_mode():
            if name == "logmel":
                logmel: Tensor = self.logmel(torch.from_numpy(waveforms).to(device))
                return logmel
            frames = self._all_cores.map(self._frames_of_clip, waveforms)
            return torch.from_numpy(np.stack(list(frames)).astype(np.float32)).to(device)

    @cached_property
    def _all_cores(self) -> ThreadPoolExecutor:
        """A lasting pool, since some runtimes open the file once per thread."""
        return ThreadPoolExecutor(all_cores())

    def _frames_of_clip(self, waveform: Audio) -> npt.NDArray[Any]:
        assert self.encoder is not None, "a network that takes frames has an encoder"
        return self.encoder.frames(waveform, self.logmel.sample_rate)
