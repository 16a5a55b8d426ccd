"""A trained network laid open: waveforms in, all that it computes out, as tensors.

The `Detector` gives what a user asks for; masks and the decoder's output are made of what lies
before that.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from sedmtl.data.audio import Audio
from sedmtl.inference.checkpoint import ModelCard, load_model
from sedmtl.models import SedOutput


class Insight(NamedTuple):
    """Of a batch.

    Attributes:
        logmel: (B, T, F) natural logarithm, not standardised.
        reconstruction: (B, T, F), the decoder's version of it in the same unit; None if there is
            no decoder or it was not asked for.
        output: Of the network; its own reconstruction is standardised.
    """

    logmel: Tensor
    reconstruction: Tensor | None
    output: SedOutput


class Interior:
    """A network behind the front end that it was trained on, in float32.

    Attributes:
        card: What the run says of itself.
        device: Where it computes.
    """

    def __init__(
        self, card: ModelCard, network: nn.Module, device: torch.device | str = "cpu"
    ) -> None:
        self.card = card
        self.device = torch.device(device)
        self._network = network.eval().to(self.device)
        self._logmel = card.build_logmel().to(self.device)
        self._standardiser = card.build_standardiser().to(self.device)

    @classmethod
    def load(cls, run: Path, device: torch.device | str = "cpu") -> Self:
        """Open a finished run.

        Raises:
            SedmtlError: The folder holds no finished run, or a damaged one.
        """
        return cls(*load_model(run), device)

    def logmel(self, waveforms: Audio) -> Tensor:
        """(B, n_samples) at the network's rate -> (B, T, F) natural logarithm."""
        with torch.inference_mode():
            logmel: Tensor = self._logmel(torch.from_numpy(waveforms).to(self.device))
        return logmel

    def look(self, waveforms: Audio, *, reconstruct: bool = False) -> Insight:
        """Send clips through the network.

        Args:
            waveforms: (B, n_samples) at the network's rate and at the level that is meant: nothing
                is scaled.
            reconstruct: Whether to run the decoder, if there is one.
        """
        logmel = self.logmel(waveforms)
        with torch.inference_mode():
            output: SedOutput = self._network(self._standardiser(logmel), reconstruct=reconstruct)
            decoded = output.reconstruction
            if decoded is not None:
                decoded = decoded * self._standardiser.std + self._standardiser.mean
        return Insight(logmel, decoded, output)
