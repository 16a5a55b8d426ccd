"""Separates recordings into one sound per detected class, by time-frequency masks.

The separated audio may have more channels and a higher sample rate than the network's input. Masks
are mapped in seconds and Hz, and bins above the network's range go to the remainder.

Recordings are processed in windows, as in `prediction`, with cross-fades where windows overlap.
Memory use does not grow with the length of the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import tee
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.data.audio import Audio
from sedmtl.inference.detector import Detector
from sedmtl.inference.masked_stft import MaskedStft
from sedmtl.inference.mel_masks import mel_masks
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.windows import CrossFade, Scores, cut
from sedmtl.models.class_masks import share
from sedmtl.runtime.errors import SedmtlError

Marks = npt.NDArray[np.bool_]


class Recording(NamedTuple):
    """The audio to separate, if it differs from the network's input.

    Attributes:
        blocks: (D, n) blocks of D channels.
        n_channels: D.
        sample_rate: Sample rate of the blocks, in Hz.
    """

    blocks: Iterable[Audio]
    n_channels: int
    sample_rate: int


class Piece(NamedTuple):
    """A separated piece of a recording; the next one starts where it ends.

    Attributes:
        mixture: (…, n) the original audio.
        sources: (C, …, n) sounds of the classes, 0 where a class is not detected; the mixture minus
            their sum is the remainder.
        clip: (C,) scores of the last window.
        detected: (C,) bool, the classes separated in that window.
    """

    mixture: Audio
    sources: Audio
    clip: Scores
    detected: Marks


class Separator:
    """Separates clips with the masks of one network.

    Args:
        detector: Provides the network.
        sample_rate: Sample rate of the audio to separate; by default the network's.
    """

    def __init__(self, detector: Detector, sample_rate: int | None = None) -> None:
        self.card: ModelCard = detector.card
        if "logmel" not in self.card.network.inputs:
            raise SedmtlError(
                f"the network {self.card.model} takes an encoder's frames, which have no mel bins "
                "to separate sounds by: use a run of another network"
            )
        self._network = detector.network
        self.stft = MaskedStft(detector.card, detector.device, sample_rate)

    def listen(self, clip: Audio) -> tuple[Scores, Tensor]:
        """A conformed clip (n_samples,) -> scores (C,), independent masks (C, T, F)."""
        output = self._network.activations(*self._network.inputs(clip[None]))
        scores: Scores = output.clip[0].cpu().numpy()
        return scores, mel_masks(output, self.card)[0]

    def detected(self, clip: Scores) -> Marks:
        """(C,) whether classes are above the run's tuned thresholds."""
        return self.card.tagged(clip)

    def separate(self, waveform: Audio, mask: Tensor, classes: Marks) -> Audio:
        """Extract some classes (C,) from a clip (…, N) at any level, with its masks (C, T, F).

        Returns:
            (C, …, N) sounds, 0 except for the chosen classes, which share each bin. The waveform
            minus their sum is the remainder.
        """
        sources = np.zeros((len(classes), *waveform.shape), np.float32)
        if classes.any():
            chosen = share(mask[torch.from_numpy(classes).to(mask.device)])
            sources[classes] = self.stft.separate(waveform, chosen)
        return sources


def take_apart(
    separator: Separator,
    blocks: Iterable[Audio],
    wanted: Sequence[int] | None,
    recording: Recording | None = None,
) -> Iterator[Piece]:
    """Separate a recording, piece by piece.

    Args:
        separator: A separator for the sample rate of the audio to separate.
        blocks: The network's input: mono, at its rate, in blocks of any length.
        wanted: Indices of the classes to extract; if empty, those detected in each window.
        recording: The audio to separate; by default the network's input.
    """
    grid, n_classes = separator.card.grid, len(separator.card.classes)
    if recording is None:
        ahead, behind = tee(blocks)
        ratio, n_channels = Fraction(1), 1
    else:
        ahead, behind = iter(blocks), iter(recording.blocks)
        ratio, n_channels = Fraction(recording.sample_rate, grid.sample_rate), recording.n_channels
    raw, n_shared = _Raw(behind), grid.n_samples - grid.stride * grid.hop
    # The mixture is passed through the cross-fade as an extra row, unchanged. If window boundaries
    # fall between samples of the recording, windows may share one sample less.
    join = CrossFade((n_classes + 1) * n_channels, int(n_shared * ratio) - (ratio != 1))
    for window in cut(ahead, grid):
        begin = int(window.start * grid.hop * ratio)
        waveform = raw.take(begin, None if window.is_last else int(window.end * ratio))
        clip, mask = separator.listen(window.waveform)
        detected = np.isin(np.arange(n_classes), wanted) if wanted else separator.detected(clip)
        sources = separator.separate(waveform, mask, detected)
        rows = np.concatenate([sources, waveform[None]])
        shape = rows.shape[:-1]
        joined = join.push(begin, rows.reshape(-1, rows.shape[-1])).reshape(*shape, -1)
        yield Piece(joined[-1], joined[:-1], clip, detected)
    joined = join.finish().reshape(*shape, -1)
    yield Piece(joined[-1], joined[:-1], clip, detected)


class _Raw:
    """A buffer of a recording's samples that holds only those still needed."""

    def __init__(self, blocks: Iterator[Audio]) -> None:
        self._blocks = blocks
        self._start, self._held = 0, next(blocks)

    def take(self, begin: int, end: int | None) -> Audio:
        """Samples (…, n) from `begin` to `end`, or to the last one.

        `begin` must not decrease between calls.
        """
        self._held, self._start = self._held[..., begin - self._start :], begin
        waiting = [self._held]
        n_held = self._held.shape[-1]
        while end is None or n_held < end - begin:
            block = next(self._blocks, None)
            if block is None:
                break
            waiting.append(block)
            n_held += block.shape[-1]
        self._held = np.concatenate(waiting, axis=-1)
        return self._held if end is None else self._held[..., : end - begin]
