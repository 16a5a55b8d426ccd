"""Waveform to log-mel (paper, section IV-C), and the standardiser fitted to it.

The Slaney mel filters come from torchaudio where it loads, otherwise from the same formula here.
Only this module imports torchaudio. It reads no files.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sedmtl.runtime.errors import SedmtlError

try:
    from torchaudio.functional import melscale_fbanks
except (ImportError, OSError, RuntimeError):  # missing, or built for another torch
    melscale_fbanks = None

FLOOR = 1e-8
"""Added before the logarithm; silence is log(1e-8) = -18.4."""


def n_frames(n_samples: int, window: int, hop: int) -> int:
    """Frames of a clip, without centring: only windows that fit are taken."""
    return 1 + (n_samples - window) // hop


def mel_filters(window: int, f_min: float, f_max: float, n_mels: int, sample_rate: int) -> Tensor:
    """Slaney mel filters of unit area: (window / 2 + 1, F).

    torchaudio's last release was built for torch 2.11; for other versions there is
    `slaney_filters`. Both give the same bytes, so features do not depend on which one is used.
    """
    if melscale_fbanks is None:
        return slaney_filters(window, f_min, f_max, n_mels, sample_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty filters are an error in LogMel
        filters: Tensor = melscale_fbanks(
            window // 2 + 1, f_min, f_max, n_mels, sample_rate, "slaney", "slaney"
        )
    return filters


def slaney_filters(
    window: int, f_min: float, f_max: float, n_mels: int, sample_rate: int
) -> Tensor:
    """`mel_filters` without torchaudio: triangles that touch at their neighbours' centres.

    The mel scale (Slaney, Auditory Toolbox, 1998) is linear up to 1 kHz, which is 15 mel, and
    logarithmic above: 27 mel for a factor of 6.4. The operations and their order are
    torchaudio's, in float32, so that the results are bit-identical; its rounding of half an odd
    sample rate is kept for that reason.
    """
    hz_per_mel, log_step = 200 / 3, math.log(6.4) / 27

    def to_mel(hz: float) -> float:
        return hz / hz_per_mel if hz < 1000 else 15 + math.log(hz / 1000) / log_step

    mels = torch.linspace(to_mel(f_min), to_mel(f_max), n_mels + 2)
    edges = torch.where(mels < 15, hz_per_mel * mels, 1000 * torch.exp(log_step * (mels - 15)))
    widths = edges.diff()
    above = edges - torch.linspace(0, sample_rate // 2, window // 2 + 1)[:, None]
    rising, falling = -above[:, :-2] / widths[:-1], above[:, 2:] / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0) * (2 / (edges[2:] - edges[:-2]))


class LogMel(nn.Module):
    """Log-mel spectrogram of the paper.

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
        self.window, self.hop = window, hop
        self.sample_rate = sample_rate
        taper = torch.hamming_window(window, periodic=False, dtype=torch.float64)
        # Scaled once here, so that the STFT comes out as magnitude / sqrt(sum(w^2)).
        scaled = taper / taper.square().sum().sqrt()
        filters = mel_filters(window, f_min, f_max, n_mels, sample_rate)
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
        """(B, N) in [-1, 1] -> (B, T, F) natural logarithm of the mel magnitudes, float32."""
        return torch.log(self.mel(waveform) + FLOOR)

    def mel(self, waveform: Tensor) -> Tensor:
        """(B, N) in [-1, 1] -> (B, T, F) magnitudes of the mel bins, float32."""
        frames = waveform.unfold(1, self.taper.numel(), self.hop) * self.taper  # (B, T, window)
        spectrum = torch.fft.rfft(frames)  # (B, T, window / 2 + 1)
        # Not abs(): its hypot guards against overflow and took as long as the FFT.
        magnitude = (spectrum.real.square() + spectrum.imag.square()).sqrt()
        mel: Tensor = magnitude @ self.filters  # (B, T, F)
        return mel

    def centres_hz(self) -> npt.NDArray[np.float32]:
        """(F,) centre of gravity of each mel filter, in Hz."""
        hz = torch.linspace(0, self.sample_rate / 2, len(self.filters))
        centres: npt.NDArray[np.float32] = (hz @ self.filters / self.filters.sum(dim=0)).numpy()
        return centres


class Standardiser(nn.Module):
    """Z-score per mel bin, fitted on the training folds only.

    Args:
        mean: (F,) mean of each log-mel bin.
        std: (F,) standard deviation; a constant bin (0) is only centred.
    """

    def __init__(self, mean: npt.ArrayLike, std: npt.ArrayLike) -> None:
        super().__init__()
        std = np.asarray(std, np.float32)
        self.register_buffer("mean", torch.from_numpy(np.array(mean, np.float32)))
        self.register_buffer("std", torch.from_numpy(np.where(std > 0, std, np.float32(1))))
        self.mean: Tensor
        self.std: Tensor

    @classmethod
    def fit(cls, blocks: Iterable[npt.NDArray[np.floating]]) -> Standardiser:
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
        std = np.sqrt(scatter / n)
        # A deviation below the values' own rounding counts as 0, or dividing by it amplifies noise.
        rounding = np.finfo(block.dtype).eps * np.abs(mean)
        return cls(mean, np.where(std > rounding, std, 0.0))

    def forward(self, logmel: Tensor) -> Tensor:
        """(…, F) -> (…, F), zero mean and unit variance per bin over the training folds."""
        return (logmel - self.mean) / self.std

    def invert(self, standardised: Tensor) -> Tensor:
        """(…, F) -> (…, F), back to the scale of the log-mel."""
        return standardised * self.std + self.mean
