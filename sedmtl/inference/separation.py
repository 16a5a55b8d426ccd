"""Recordings taken apart: a sound for each class that is detected, by time-frequency masks.

What is taken apart may be more than the network hears: all channels of a file, at its own sample
rate. The masks lie in seconds and Hz, and bins above those that the network hears go to the rest.

Recordings go window by window, as in `prediction`; what neighbouring windows make of the audio they
share passes from one to the other. Memory does not grow with the length of the recording.
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
    """What is taken apart, where that is more than the network hears: the file itself.

    Attributes:
        blocks: (D, n) of D channels.
        n_channels: D.
        sample_rate: Of the blocks.
    """

    blocks: Iterable[Audio]
    n_channels: int
    sample_rate: int


class Piece(NamedTuple):
    """A part of a recording, taken apart; the next one begins where it ends.

    Attributes:
        mixture: (…, n), as it was read.
        sources: (C, …, n), zero where a class is not detected; the rest is missing from their sum.
        clip: (C,) scores of the last window.
        detected: (C,) bool, the classes that were separated from that window.
    """

    mixture: Audio
    sources: Audio
    clip: Scores
    detected: Marks


class Separator:
    """Takes clips apart with the masks of one network.

    Args:
        detector: Has the network.
        sample_rate: Of what is taken apart; by default the network's.
    """

    def __init__(self, detector: Detector, sample_rate: int | None = None) -> None:
        self.card: ModelCard = detector.card
        if "logmel" not in self.card.network.inputs:
            raise SedmtlError(
                f"the network {self.card.model} takes the vectors of an encoder, which have no mel "
                "bins that sounds could be separated by: take a run of another network"
            )
        self._network = detector.network
        self.stft = MaskedStft(detector.card, detector.device, sample_rate)

    def listen(self, clip: Audio) -> tuple[Scores, Tensor]:
        """A conformed clip (n_samples,) -> scores (C,), masks (C, T, F) that know no others."""
        output = self._network.activations(*self._network.inputs(clip[None]))
        scores: Scores = output.clip[0].cpu().numpy()
        return scores, mel_masks(output, self.card)[0]

    def detected(self, clip: Scores) -> Marks:
        """Which classes (C,) are above the thresholds that the run tuned."""
        return self.card.tagged(clip)

    def separate(self, waveform: Audio, mask: Tensor, classes: Marks) -> Audio:
        """Take some classes (C,) out of a clip (…, N) at any level, with its masks (C, T, F).

        Returns:
            (C, …, N), zero but for the chosen classes, which share each bin. What is missing to the
            waveform is the rest.
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
    """Take a recording apart, piece by piece.

    Args:
        separator: Of a run, for the sample rate of what is taken apart.
        blocks: What the network hears: mono and at its rate, in pieces of any length.
        wanted: Indices of the classes to take out; if none: in each window those detected.
        recording: What is taken apart; by default what the network hears.
    """
    grid, n_classes = separator.card.grid, len(separator.card.classes)
    if recording is None:
        ahead, behind = tee(blocks)
        ratio, n_channels = Fraction(1), 1
    else:
        ahead, behind = iter(blocks), iter(recording.blocks)
        ratio, n_channels = Fraction(recording.sample_rate, grid.sample_rate), recording.n_channels
    raw, n_shared = _Raw(behind), grid.n_samples - grid.stride * grid.hop
    # The mixture is a row of its own, faded from itself to itself. Where windows begin and end
    # between two samples of the recording, they may share one less.
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
    """The samples of a recording, of which only those are held that are still asked for."""

    def __init__(self, blocks: Iterator[Audio]) -> None:
        self._blocks = blocks
        self._start, self._held = 0, next(blocks)

    def take(self, begin: int, end: int | None) -> Audio:
        """Samples (…, n) from `begin` to `end`, or to the last one.

        Neither may go back to before an earlier `begin`.
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
