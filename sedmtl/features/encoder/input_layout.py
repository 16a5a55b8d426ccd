"""Arrangement of audio windows as an encoder's input, derived from the input's shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from sedmtl.config import EncoderFile
from sedmtl.data.audio import Audio
from sedmtl.features.encoder.runtimes.graph import Shape
from sedmtl.features.encoder.spectrogram import EncoderSpectrogram
from sedmtl.runtime.errors import SedmtlError


@dataclass(frozen=True)
class InputLayout:
    """The windows of an encoder, and the shape of its input.

    Attributes:
        n_samples: Samples of a window.
        shape: Shape of the input for one window, without the batch axis.
        is_mel_first: Whether the mel axis comes before the frame axis.
        has_batch: Whether the first axis is the batch.
        logmel: Computes the input; None if the input is the waveform.
    """

    n_samples: int
    shape: tuple[int, ...]
    has_batch: bool
    is_mel_first: bool = False
    logmel: EncoderSpectrogram | None = None

    @classmethod
    def of(cls, section: EncoderFile, shape: Shape, path: Path) -> Self:
        """Derive the layout of an input.

        Args:
            section: Settings, including the sample rate.
            shape: Shape of the input; None for free axes.
            path: The file, for error messages.

        Raises:
            SedmtlError: The input is neither a waveform nor a log-mel, or its length is free and
                not given, or differs from the given one.
        """
        assert section.sample_rate is not None
        n_wanted = None
        if section.window_s is not None:
            n_wanted = max(1, round(section.window_s * section.sample_rate))
        if section.logmel is not None:
            spectrogram = EncoderSpectrogram(section.logmel, section.sample_rate)
            return cls._of_logmel(spectrogram, shape, n_wanted, path)
        return cls._of_waveform(shape, n_wanted, section.sample_rate, path)

    @classmethod
    def _of_waveform(cls, shape: Shape, n_wanted: int | None, rate: int, path: Path) -> Self:
        has_batch = len(shape) > 1
        sizes = shape[1:] if has_batch else shape
        # All axes except time must have size 1.
        long = [axis for axis, size in enumerate(sizes) if size != 1]
        if len(long) != 1 or (has_batch and shape[0] not in (None, 1)):
            raise SedmtlError(
                f"the input of {path} should be a waveform, (B, N) or (B, 1, N), found "
                f"{_text(shape)}: a log-mel is declared with features.encoder.input"
            )
        n_fixed = sizes[long[0]]
        n_samples = n_fixed or n_wanted
        if n_samples is None:
            raise SedmtlError(f"{path} takes windows of any length: add features.encoder.window_s")
        if n_wanted not in (None, n_samples):
            raise SedmtlError(
                f"{path} takes windows of {n_samples} samples, {n_samples / rate:g} s at {rate} "
                "Hz: features.encoder.window_s should be that or be left out, found "
                f"{n_wanted / rate:g}"
            )
        return cls(n_samples, tuple(size or n_samples for size in sizes), has_batch)

    @classmethod
    def _of_logmel(
        cls, spectrogram: EncoderSpectrogram, shape: Shape, n_wanted: int | None, path: Path
    ) -> Self:
        n_mels = spectrogram.settings.n_mels
        has_batch = len(shape) > 2
        sizes = shape[1:] if has_batch else shape
        long = [axis for axis, size in enumerate(sizes) if size != 1]
        if len(long) != 2 or n_mels not in [sizes[axis] for axis in long]:
            raise SedmtlError(
                f"the input of {path} should be a log-mel of {n_mels} bins "
                f"(features.encoder.logmel.n_mels), found {_text(shape)}"
            )
        is_mel_first = sizes[long[1]] != n_mels
        n_fixed = sizes[long[1 if is_mel_first else 0]]
        n_samples = n_wanted or (spectrogram.n_samples(n_fixed) if n_fixed else None)
        if n_samples is None:
            raise SedmtlError(f"{path} takes windows of any length: add features.encoder.window_s")
        half = spectrogram.n_fft // 2
        if spectrogram.settings.centred and n_samples <= half:
            raise SedmtlError(
                f"a window of {path} should be longer than half an FFT, {half} samples, found "
                f"{n_samples}: lengthen features.encoder.window_s, or set "
                "features.encoder.logmel.centred to false if the encoder was trained so"
            )
        n_frames = spectrogram.n_frames(n_samples)
        if n_frames != (n_fixed or n_frames):
            raise SedmtlError(
                f"{path} takes {n_fixed} frames of a log-mel: features.encoder.window_s gives "
                f"{n_frames}; leave it out"
            )
        filled = tuple(size or n_frames for size in sizes)
        return cls(n_samples, filled, has_batch, is_mel_first, spectrogram)

    def arrange(self, windows: Audio) -> Audio:
        """Arrange windows (n, n_samples) as the model's input."""
        values = windows if self.logmel is None else self.logmel(windows)
        if self.is_mel_first:
            values = values.swapaxes(1, 2)
        batch = (len(windows),) if self.has_batch else ()
        return np.ascontiguousarray(values).reshape(*batch, *self.shape)


def _text(shape: Shape) -> str:
    """Format a shape, with ? for free axes."""
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"
