"""The log-mel that an encoder expects as its input: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sedmtl.config import EncoderLogMel
from sedmtl.runtime.errors import SedmtlError

Array = npt.NDArray[np.float32]

LOGARITHMS = {"natural": (np.log, 1.0), "log10": (np.log10, 1.0), "db": (np.log10, 10.0)}
"""By `EncoderLogMel.log`: the logarithm, and its factor for power spectrograms."""
TAPERS = {"hann": np.hanning, "hamming": np.hamming}
"""Symmetric windows by `EncoderLogMel.taper`; importing `scipy.signal` for them takes 0.7 s."""


class EncoderSpectrogram:
    """Waveforms at the encoder's rate -> log-mels with its settings."""

    def __init__(self, settings: EncoderLogMel, sample_rate: int) -> None:
        if settings.f_max > sample_rate / 2:
            raise SedmtlError(
                f"features.encoder.logmel.f_max should be at most {sample_rate / 2:g} (half of "
                f"features.encoder.sample_rate), found {settings.f_max:g}"
            )
        self.settings = settings
        self.n_fft = settings.n_fft or settings.window
        taper = TAPERS[settings.taper](settings.window + 1)[:-1]  # periodic
        left = (self.n_fft - settings.window) // 2
        self.taper = np.pad(taper, (left, self.n_fft - settings.window - left)).astype(np.float32)
        self.filters = mel_filters(settings, self.n_fft, sample_rate)

    def n_frames(self, n_samples: int) -> int:
        """Frames in `n_samples`."""
        if self.settings.centred:
            return 1 + n_samples // self.settings.hop
        return 1 + (n_samples - self.n_fft) // self.settings.hop

    def n_samples(self, n_frames: int) -> int:
        """Fewest samples with `n_frames`."""
        shorter = (n_frames - 1) * self.settings.hop
        return shorter if self.settings.centred else shorter + self.n_fft

    def __call__(self, waveforms: Array) -> Array:
        """(n, N) -> (n, T, F)."""
        how = self.settings
        if how.centred:
            half = self.n_fft // 2
            waveforms = np.pad(waveforms, ((0, 0), (half, half)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(waveforms, self.n_fft, axis=1)
        magnitude = np.abs(np.fft.rfft(frames[:, :: how.hop] * self.taper))
        mel = magnitude.astype(np.float32) ** how.power @ self.filters
        logarithm, factor = LOGARITHMS[how.log]
        factor *= 2 / how.power if how.log == "db" else 1
        level = factor * logarithm(mel + np.float32(how.floor))
        scaled: Array = ((level - how.mean) / how.std).astype(np.float32)
        return scaled


def mel_filters(settings: EncoderLogMel, n_fft: int, sample_rate: int) -> Array:
    """(n_fft / 2 + 1, F) triangular filters; each ends at its neighbours' centres."""
    to_mel, to_hz = _SCALES[settings.mel_scale]
    low, high = to_mel(np.array([settings.f_min, settings.f_max]))
    edges = to_hz(np.linspace(low, high, settings.n_mels + 2))
    hz = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)[:, None]
    widths = np.diff(edges)
    rising, falling = (hz - edges[:-2]) / widths[:-1], (edges[2:] - hz) / widths[1:]
    filters = np.minimum(rising, falling).clip(min=0)
    if settings.norm == "slaney":
        filters *= 2 / (edges[2:] - edges[:-2])
    single: Array = filters.astype(np.float32)
    return single


def _to_slaney(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's scale: linear up to 1 kHz (15 mel), logarithmic above (27 mel per factor 6.4)."""
    above = 15 + 27 * np.log(np.maximum(hz, 1.0) / 1000) / np.log(6.4)
    return np.where(hz < 1000, 3 * hz / 200, above)


def _from_slaney(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))


_SCALES = {
    "slaney": (_to_slaney, _from_slaney),
    "htk": (lambda hz: 2595 * np.log10(1 + hz / 700), lambda mel: 700 * (10 ** (mel / 2595) - 1)),
}
