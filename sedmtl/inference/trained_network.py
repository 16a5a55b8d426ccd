"""A trained network with its front end: audio or stored arrays in, scores and maps out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sedmtl.features.encoder import Encoder
from sedmtl.features.front_end import FrontEnd
from sedmtl.inference.model_card import ModelCard
from sedmtl.models import SedOutput
from sedmtl.runtime.devices import choose_precision
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Rows, batches

Array = npt.NDArray[np.float32]

STORED_BATCH_SIZE = 24
"""Stored clips per batch."""


class TrainedNetwork:
    """Runs a network on clips of the length, rate and level that it was trained on.

    Args:
        card: Model card of the run.
        network: The network with its weights.
        device: Device to compute on.
        channels_last: Memory layout of the weights.
        heads: Task heads to run, by task.
        encoder: The frozen encoder, if the network takes its frames.

    Attributes:
        standardisers: Standardisers of the log-mel and of the network's inputs, by name.
    """

    def __init__(
        self,
        card: ModelCard,
        network: nn.Module,
        device: torch.device,
        *,
        channels_last: bool,
        heads: Mapping[str, nn.Module],
        encoder: Encoder | None,
    ) -> None:
        self._card, self._device = card, device
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self._network = network.eval().to(device, memory_format=layout)  # type: ignore[call-overload]
        self._heads = {name: head.eval().to(device) for name, head in heads.items()}
        self._front_end = FrontEnd(card.build_logmel().to(device), encoder)
        names = {"logmel", *card.network.inputs}
        self.standardisers = {name: card.build_standardiser(name).to(device) for name in names}
        # Use the training precision if the hardware supports it.
        trained_in, computed_in = card.training["precision"], choose_precision(device)
        self._in_bfloat16 = trained_in == computed_in == "bfloat16"

    def logmel(self, waveforms: Array) -> Tensor:
        """Waveforms (B, n_samples) at the network's rate, not rescaled -> log-mels (B, T, F)."""
        return self._front_end.make("logmel", waveforms)

    def inputs(self, waveforms: Array) -> tuple[Tensor, ...]:
        """The network's inputs (`card.network.inputs`) for conformed clips (B, n_samples)."""
        return tuple(self._front_end.make(name, waveforms) for name in self._card.network.inputs)

    def activations(self, *inputs: Tensor, reconstruct: bool = False) -> SedOutput:
        """Run the network on unstandardised inputs, in float32.

        Most networks take one input, log-mels (B, T, F). The decoder, if it runs, returns
        standardised log-mels. Loaded task heads are run as well, with outputs in `SedOutput.tasks`.

        Raises:
            SedmtlError: The network overflows, which makes its scores meaningless.
        """
        stages = {"with_stages": True} if self._heads and self._card.network.stage_channels else {}
        with torch.inference_mode():
            named = zip(self._card.network.inputs, inputs, strict=True)
            standardised = [self.standardisers[name](values) for name, values in named]
            output: SedOutput = self._network(*standardised, reconstruct=reconstruct, **stages)
            made = {name: head(output) for name, head in self._heads.items()}
            output = output._replace(tasks={**output.tasks, **made})
        # Sigmoids would hide an overflow of the class map.
        if not all(each.isfinite().all() for each in (output.clip, output.frame, output.class_map)):
            raise SedmtlError(
                "the network's output is NaN or infinity: its weights are too large to compute "
                "with; train the run again"
            )
        return output

    def score_windows(self, waveforms: Array) -> tuple[Array, Array]:
        """Score clips (B, n_samples) that were conformed (`audio.conform`).

        Returns:
            Clip scores (B, C) and frame scores (B, C, T), float32 in [0, 1].
        """
        return self._score(self.inputs(waveforms))

    def score(
        self, read: Callable[[Rows, str], npt.NDArray[Any]], rows: Rows
    ) -> tuple[Array, Array]:
        """Score stored clips; `read` returns an array of rows by name, like `Store.read`.

        Returns:
            Clip scores (n, C) and frame scores (n, C, T), float32 in [0, 1].
        """
        clip = np.empty((len(rows), len(self._card.classes)), np.float32)
        frame = np.empty((*clip.shape, self._card.grid.n_frames), np.float32)
        for batch in batches(np.arange(len(rows)), STORED_BATCH_SIZE):
            stored = [read(rows[batch], name) for name in self._card.network.inputs]
            inputs = [torch.from_numpy(each).float().to(self._device) for each in stored]
            clip[batch], frame[batch] = self._score(inputs)
        return clip, frame

    def _score(self, inputs: Sequence[Tensor]) -> tuple[Array, Array]:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._in_bfloat16):
            output = self.activations(*inputs)
        return output.clip.float().cpu().numpy(), output.frame.float().cpu().numpy()
