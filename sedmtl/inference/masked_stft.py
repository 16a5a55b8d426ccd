"""Applies masks to audio by an STFT at any sample rate.

The window is as long as the network's, and the hop a quarter of it, so that masks cause no
discontinuities. Masks only change magnitudes; phases are the mixture's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sedmtl.data.audio import Audio
from sedmtl.inference.model_card import ModelCard


class MaskedStft:
    """An STFT for applying a network's masks at any sample rate.

    Its window is as long as the network's in seconds, rounded to a multiple of 4 samples.

    Args:
        card: The network's model card.
        device: Device to compute on.
        sample_rate: Sample rate of the audio; by default the network's.
    """

    def __init__(
        self,
        card: ModelCard,
        device: torch.device | str = "cpu",
        sample_rate: int | None = None,
    ) -> None:
        network_window, self._ratio = int(card.features["window"]), 1.0
        window = network_window
        if sample_rate not in (None, card.sample_rate):
            self._ratio = sample_rate / card.sample_rate
            window = 4 * max(1, round(network_window * self._ratio / 4))
        self._hop = window // 4
        self._mask_grid = card.grid
        # Square-root Hann for both analysis and synthesis: changes of the mask are cross-faded.
        self._taper = torch.hann_window(window, device=device).sqrt()
        self._layout: dict[str, Any] = {
            "n_fft": window, "hop_length": self._hop, "window": self._taper, "center": True,
        }  # fmt: skip
        filters = card.build_logmel().filters.to(device)  # (n_bins, F)
        # Each FFT bin gets the weighted mean of the mel bins that cover it. Bins below f_min and
        # above f_max are covered by none and get 0: they go to the remainder.
        total = filters.sum(dim=1, keepdim=True)
        mel_to_fft = torch.where(total > 0, filters / total, 0).T
        bins = torch.arange(window // 2 + 1, device=device)
        self._mel_to_fft = _at_bins(mel_to_fft, bins * (network_window * self._ratio / window))

    def separate(self, waveform: Audio, mask: Tensor) -> Audio:
        """Apply masks to a clip.

        Args:
            waveform: (…, N); the mask's first frame starts at the first sample. The mask is held
                constant before the first and after the last frame's centre.
            mask: (K, T, F) in [0, 1].

        Returns:
            (K, …, N) waveforms. If the masks sum to 1, they sum to the input, except below `f_min`
            and above `f_max`.
        """
        spectrum = self.analyse(waveform)  # (…, n_bins, J)
        n_samples, n_frames = waveform.shape[-1], spectrum.shape[-1]
        # One mask at a time: each holds several spectra meanwhile.
        return np.stack(
            [self.synthesise(spectrum * self.spread(each, n_frames), n_samples) for each in mask]
        )

    def separate_ideally(self, wanted: Audio, rest: Audio) -> Audio:
        """Apply the ideal ratio mask, an oracle that needs the true sources.

        The mask is the target's share of the total power in every STFT bin (Wang, Narayanan and
        Wang, TASLP 2014, with an exponent of 1).

        Args:
            wanted: (K, N) target sources.
            rest: (K, N) the remainder of each mixture.
        """
        spectra = self.analyse(wanted), self.analyse(rest)
        powers = [spectrum.real.square() + spectrum.imag.square() for spectrum in spectra]
        ratio = powers[0] / (powers[0] + powers[1]).clamp_min(torch.finfo(torch.float32).tiny)
        return self.synthesise((spectra[0] + spectra[1]) * ratio, wanted.shape[-1])

    def analyse(self, waveform: Audio) -> Tensor:
        """(…, N) -> (…, n_bins, J) complex."""
        samples = torch.from_numpy(waveform).to(self._taper.device)
        return torch.stft(samples, **self._layout, pad_mode="constant", return_complex=True)

    def synthesise(self, spectrum: Tensor, n_samples: int) -> Audio:
        """The inverse of `analyse`: (…, n_bins, J) -> (…, N)."""
        flat = spectrum.reshape(-1, *spectrum.shape[-2:])
        waveform = torch.istft(flat, **self._layout, length=n_samples)
        separated: Audio = waveform.reshape(*spectrum.shape[:-2], n_samples).cpu().numpy()
        return separated

    def spread(self, mask: Tensor, n_frames: int) -> Tensor:
        """Interpolate masks (…, T, F) to the STFT's bins and frames (…, n_bins, n_frames).

        Linear in time between the centres of the mask's frames.
        """
        hop = self._hop / self._ratio
        centre = torch.arange(n_frames, device=mask.device) * hop  # in samples of the network
        last = mask.shape[-2] - 1
        position = ((centre - self._mask_grid.window / 2) / self._mask_grid.hop).clamp(0, last)
        before = position.floor().long()
        after = (before + 1).clamp_max(last)
        between = (position - before).unsqueeze(-1)
        earlier, later = mask[..., before, :], mask[..., after, :]
        at_centres = earlier + between * (later - earlier)
        return (at_centres @ self._mel_to_fft).transpose(-1, -2)


def _at_bins(per_bin: Tensor, position: Tensor) -> Tensor:
    """Interpolate (F, n_bins) linearly at bin positions (n,); 0 beyond the last bin."""
    last = per_bin.shape[1] - 1
    before = position.floor().clamp_max(last).long()
    after = (before + 1).clamp_max(last)
    between = per_bin[:, before] + (position - before) * (per_bin[:, after] - per_bin[:, before])
    return between * (position <= last)
