"""A trained network with its preprocessing as one module, for export."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sedmtl.data.audio import PEAK
from sedmtl.inference.mel_masks import mel_masks
from sedmtl.inference.model_card import ModelCard
from sedmtl.models import SedOutput


class Scorer(nn.Module):
    """A network with its standardisers.

    Args:
        card: Model card of the run.
        network: Its network.
        masks: Its head of the task `separate`, if masks are to be exported.
    """

    def __init__(self, card: ModelCard, network: nn.Module, masks: nn.Module | None = None) -> None:
        super().__init__()
        self.card, self.network, self.masks = card, network, masks
        self.logmel = card.build_logmel()
        names = card.network.inputs
        self.standardisers = nn.ModuleDict({name: card.build_standardiser(name) for name in names})

    def score(self, made: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Network inputs by name -> clip scores (B, C), frame scores (B, C, T).

        With a head for masks, these follow: (B, C, T, F).
        """
        values = [self.standardisers[name](made[name]) for name in self.card.network.inputs]
        if self.masks is None:
            output: SedOutput = self.network(*values, reconstruct=False)
            return output.clip, output.frame
        output = self.network(*values, reconstruct=False, with_stages=True)
        output = output._replace(tasks={"separate": self.masks(output)})
        return output.clip, output.frame, mel_masks(output, self.card)


class ClipScorer(Scorer):
    """A network with its front end.

    Args:
        card: Model card of the run.
        network: Its network.
        masks: Its head of the task `separate`, if masks are to be exported.
        encoder: Maps peak-scaled clips (B, n_samples) to frames (B, T', D), if the network takes
            frames.
    """

    def __init__(
        self,
        card: ModelCard,
        network: nn.Module,
        masks: nn.Module | None = None,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__(card, network, masks)
        self.encoder = encoder

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Waveforms (B, n_samples) at any level -> outputs as in `score`."""
        scaled = _scaled(waveform)
        made = {"logmel": self.logmel(scaled)} if "logmel" in self.card.network.inputs else {}
        if self.encoder is not None:
            made["frames"] = self.encoder(scaled)
        return self.score(made)


class HeadScorer(Scorer):
    """A network that takes the frames of an external encoder."""

    def forward(self, frames: Tensor, waveform: Tensor | None = None) -> tuple[Tensor, ...]:
        """Frames (B, T', D), and waveforms if the network takes the log-mel -> as in `score`."""
        logmel = {} if waveform is None else {"logmel": self.logmel(_scaled(waveform))}
        return self.score({"frames": frames, **logmel})


class ClipEncoder(nn.Module):
    """The encoder of a network with its front end: waveforms in, embeddings over time out."""

    def __init__(self, card: ModelCard, network: nn.Module) -> None:
        super().__init__()
        self.logmel = card.build_logmel()
        self.standardiser = card.build_standardiser()
        self.network = network

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveforms (B, n_samples) at any level -> (B, T', D), averaged over mel bins."""
        logmel = self.standardiser(self.logmel(_scaled(waveform)))
        encoded: Tensor = self.network(logmel, reconstruct=False).encoded  # (B, D, T', F')
        return encoded.mean(dim=-1).transpose(1, 2)


def _scaled(waveform: Tensor) -> Tensor:
    """Scale to the peak like `audio.conform`: silence stays silent, and nothing overflows."""
    peak = waveform.abs().amax(dim=-1, keepdim=True)
    return waveform / torch.where(peak > 0, peak, 1.0) * PEAK
