"""A recording of any length taken apart: a sound for each class that is detected in it.

Window by window, as in `prediction`; what neighbouring windows make of the audio they share passes
from one to the other. Memory does not grow with the length of the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import tee
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.data.audio import Audio
from sedmtl.inference.checkpoint import ModelCard
from sedmtl.inference.detector import Detector
from sedmtl.inference.masks import MaskedStft, mel_masks, share
from sedmtl.inference.windows import CrossFade, Scores, cut

Marks = npt.NDArray[np.bool_]


class Piece(NamedTuple):
    """A part of a recording, taken apart; the next one begins where it ends.

    Attributes:
        mixture: (n,), as it was read.
        sources: (C, n), zero where a class is not detected; the rest is missing from their sum.
        clip: (C,) scores of the last window.
        detected: (C,) bool, the classes that were separated from that window.
    """

    mixture: Audio
    sources: Audio
    clip: Scores
    detected: Marks


class Separator:
    """Takes clips apart with the masks of one network."""

    def __init__(self, detector: Detector) -> None:
        self.card: ModelCard = detector.card
        self._detector = detector
        self.stft = MaskedStft(detector.card, detector.device)

    def listen(self, clip: Audio) -> tuple[Scores, Tensor]:
        """A conformed clip (n_samples,) -> scores (C,), masks (C, T, F) that know no others."""
        output = self._detector.activations(self._detector.logmel(clip[None]))
        scores: Scores = output.clip[0].cpu().numpy()
        return scores, mel_masks(output, self.card)[0]

    def detected(self, clip: Scores) -> Marks:
        """Which classes (C,) are above the thresholds that the run tuned."""
        return clip > np.array(self.card.tag_threshold, np.float32)

    def separate(self, waveform: Audio, mask: Tensor, classes: Marks) -> Audio:
        """Take some classes (C,) out of a clip (N,) at any level, with its masks (C, T, F).

        Returns:
            (C, N), zero but for the chosen classes, which share each bin. What is missing to the
            waveform is the rest.
        """
        sources = np.zeros((len(classes), len(waveform)), np.float32)
        if classes.any():
            chosen = share(mask[torch.from_numpy(classes).to(mask.device)])
            sources[classes] = self.stft.separate(waveform, chosen)
        return sources


def take_apart(
    separator: Separator, blocks: Iterable[Audio], wanted: Sequence[int] | None
) -> Iterator[Piece]:
    """Take a recording apart, piece by piece.

    Args:
        separator: Of a run.
        blocks: The recording, mono and at the network's rate, in pieces of any length.
        wanted: Indices of the classes to take out; if none: in each window those detected.
    """
    grid, n_classes = separator.card.grid, len(separator.card.classes)
    ahead, behind = tee(blocks)
    raw = _Raw(behind)
    join = CrossFade(n_classes + 1)  # the mixture is a row of its own, faded from itself to itself
    for window in cut(ahead, grid):
        begin = window.start * grid.hop
        waveform = raw.take(begin, window.end)
        clip, mask = separator.listen(window.waveform)
        detected = np.isin(np.arange(n_classes), wanted) if wanted else separator.detected(clip)
        sources = separator.separate(waveform, mask, detected)
        joined = join.push(begin, np.vstack([sources, waveform]))
        yield Piece(joined[-1], joined[:-1], clip, detected)
    joined = join.finish()
    yield Piece(joined[-1], joined[:-1], clip, detected)


class _Raw:
    """The samples of a recording, of which only those are held that are still asked for."""

    def __init__(self, blocks: Iterable[Audio]) -> None:
        self._blocks = iter(blocks)
        self._start, self._held = 0, np.zeros(0, np.float32)

    def take(self, begin: int, end: int) -> Audio:
        """Samples from `begin` to `end`; neither may go back to before an earlier `begin`."""
        while self._start + len(self._held) < end:
            self._held = np.concatenate([self._held, next(self._blocks)])
        self._held, self._start = self._held[begin - self._start :], begin
        return self._held[: end - begin]
