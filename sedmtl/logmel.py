"""Waveform to log-mel (paper, section IV-C), and the standardiser fitted to it.

The only module that imports torchaudio, for the Slaney mel filters. It reads no files.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from sedmtl.runtime.errors import SedmtlError

FLOOR = 1e-8
"""Added before the logarithm; silence is log(1e-8) = -18.4."""


def n_frames(n_samples: int, window: int, hop: int) -> int:
    """Frames of a clip, without centring: only windows that fit are taken."""
    return 1 + (n_samples - window) // hop


class LogMel(nn.Module):
    """Log-mel spectrogram of the recipe.

    Symmetric Hamming window, no centring, magnitude divided by the root of the window's energy,
    area-normalised Slaney mel filters on the magnitude (not the power), log(x + 1e-8).

    Args:
        sample_rate: In Hz.
        window: Samples of a window, also the FFT size.
        hop: Samples between windows.
        n_mels: Mel bins.
        f_min: Lower edge in Hz.
        f_max: Upper edge in Hz.

    Raises:
        SedmtlError: A mel filter is so narrow that no FFT bin falls into it.
    """

    def __init__(
        self,
        sample_rate: int = 32_000,
        window: int = 2_048,
        hop: int = 1_024,
        n_mels: int = 64,
        f_min: float = 50.0,
        f_max: float = 16_000.0,
    ) -> None:
        super().__init__()
        self.hop = hop
        self.sample_rate = sample_rate
        taper = torch.hamming_window(window, periodic=False, dtype=torch.float64)
        # Scaled once here, so that the STFT comes out as magnitude / sqrt(sum(w^2)).
        scaled = taper / taper.square().sum().sqrt()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of empty filters: they are an error here
            filters = melscale_fbanks(
                window // 2 + 1, f_min, f_max, n_mels, sample_rate, "slaney", "slaney"
            )
        n_empty = int((filters.amax(dim=0) == 0).sum())
        if n_empty:
            raise SedmtlError(
                f"features.n_mels: {n_mels} mel bins from {f_min:g} to {f_max:g} Hz leave "
                f"{n_empty} empty with a window of {window} samples; take fewer bins or a longer "
                "window"
            )
        self.register_buffer("taper", scaled.float(), persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self.taper: Tensor
        self.filters: Tensor

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, N) in [-1, 1] -> (B, T, F) natural logarithm, float32."""
        frames = waveform.unfold(1, self.taper.numel(), self.hop) * self.taper  # (B, T, window)
        spectrum = torch.fft.rfft(frames)  # (B, T, window / 2 + 1)
        # Not abs(): its hypot guards against overflow and took as long as the FFT.
        magnitude = (spectrum.real.square() + spectrum.imag.square()).sqrt()
        return torch.log(magnitude @ self.filters + FLOOR)  # (B, T, F)

    def centres_hz(self) -> npt.NDArray[np.float32]:
        """(F,) centre of gravity of each mel filter."""
        hz = torch.linspace(0, self.sample_rate / 2, len(self.filters))
        centres: npt.NDArray[np.float32] = (hz @ self.filters / self.filters.sum(dim=0)).numpy()
        return centres


class Standardiser(nn.Module):
    """Z-score per mel bin, fitted on the training folds only.

    Args:
        mean: (F,) of the log-mel.
        std: (F,); a bin that never changes is only centred.
    """

    def __init__(self, mean: npt.ArrayLike, std: npt.ArrayLike) -> None:
        super().__init__()
        std = np.asarray(std, np.float32)
        self.register_buffer("mean", torch.from_numpy(np.array(mean, np.float32)))
        self.register_buffer("std", torch.from_numpy(np.where(std > 0, std, np.float32(1))))
        self.mean: Tensor
        self.std: Tensor

    @classmethod
    def fit(cls, blocks: Iterable[npt.NDArray[np.float32]]) -> Standardiser:
        """Fit mean and (population) standard deviation in one pass.

        Args:
            blocks: Arrays (n, T, F), together all training clips. At least one.
        """
        n, mean, scatter = 0, np.zeros(1), np.zeros(1)
        for block in blocks:
            # Chan et al.'s update: exact to float64 where a plain sum of squares cancels.
            frames = block.reshape(-1, block.shape[-1]).astype(np.float64)
            n_all = n + len(frames)
            shift = frames.mean(axis=0) - mean
            scatter = scatter + ((frames - frames.mean(axis=0)) ** 2).sum(axis=0)
            scatter = scatter + shift**2 * n * len(frames) / n_all
            mean = mean + shift * len(frames) / n_all
            n = n_all
        return cls(mean, np.sqrt(scatter / n))

    def forward(self, logmel: Tensor) -> Tensor:
        """(…, F) -> (…, F), zero mean and unit variance a bin over the training folds."""
        return (logmel - self.mean) / self.std
