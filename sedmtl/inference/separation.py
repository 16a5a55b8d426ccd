"""Recordings taken apart: a sound for each class that is detected, by time-frequency masks.

A mask lies on the network's grid of frames and mel bins; it is applied to an STFT of its own, with
the same window and a quarter of it as hop, which any mask leaves free of steps. No mask knows more
than the mixture's magnitudes: phases are the mixture's.

What is taken apart may be more than the network hears: all channels of a file, at its own sample
rate. The masks lie in seconds and Hz, and bins above those that the network hears go to the rest.

Recordings go window by window, as in `prediction`; what neighbouring windows make of the audio they
share passes from one to the other. Memory does not grow with the length of the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import tee
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from sedmtl.data.audio import Audio
from sedmtl.inference.checkpoint import ModelCard
from sedmtl.inference.detector import Detector
from sedmtl.inference.windows import CrossFade, Scores, cut
from sedmtl.models import SedOutput
from sedmtl.models.class_masks import at_frames
from sedmtl.runtime.errors import SedmtlError

Marks = npt.NDArray[np.bool_]

AROUND = (31, 9)
"""Frames and mel bins that a class map is averaged over, odd."""


def mel_masks(output: SedOutput, card: ModelCard) -> Tensor:
    """How much of each bin is each class: (B, C, T, F) in [0, 1].

    If the run has learned the task `separate` and its heads were loaded: what its head gives, which
    are the roots of masks, and the mean of these and the presences where frame scores are such.
    After 10 epochs of pooled with remixing, over the sources of 20 held-out mixtures at 10 dB:
    roots 5.4 dB, their squares 3.6, presences 6.9, the mean of roots and presences 6.9 (of
    detected sources 8.6, presences alone 8.4), roots times presences 5.3.

    Without the task, where frame scores are presences (2APAE's local second step), those, the same
    in all mel bins. Elsewhere the class map, as a probability (of Atrous over the classes, of the
    others a sigmoid) averaged over the bins around.

    Chosen on inner validation by the mean SI-SDR improvement. Over 16 runs (the five networks on
    real recordings at 0, 10 and 20 dB, and 2APAE on the built-in corpus): the averaged map 1.6 dB,
    the map as it is -0.5, frame scores -4.4. Of the local second step at 10 dB: presences 8.1 dB,
    times the attention over mel bins -13.8, times the class map 0.7. The attention says where the
    evidence is, which are few bins, not where the sound is.
    """
    presence = output.frame.unsqueeze(-1).expand(-1, -1, -1, card.n_mels)
    has_presences = card.network.frame_meaning == "presence"
    if "separate" in output.tasks:
        learned = at_frames(output.tasks["separate"], card.n_frames)
        return (learned + presence) / 2 if has_presences else learned
    if has_presences:
        return presence
    probability = card.network.class_probability(output.class_map)  # (B, C, T', F)
    padding = (AROUND[0] // 2, AROUND[1] // 2)
    return avg_pool2d(probability, AROUND, 1, padding, count_include_pad=False)


def share(mask: Tensor) -> Tensor:
    """Divide each bin among sources: where masks (…, K, T, F) sum to more than 1, in proportion.

    What is missing to 1 is the rest's.
    """
    return mask / mask.sum(dim=-3, keepdim=True).clamp_min(1)


class MaskedStft:
    """The STFT that the masks of a network are applied in, at any sample rate.

    Its window is as long as the network's in seconds, to a multiple of 4 samples.

    Args:
        card: Of the network.
        device: Where to compute.
        sample_rate: Of what is taken apart; by default the network's.
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
        # Its root, once before and once after: a mask's steps from frame to frame are faded.
        self._taper = torch.hann_window(window, device=device).sqrt()
        self._layout: dict[str, Any] = {
            "n_fft": window, "hop_length": self._hop, "window": self._taper, "center": True,
        }  # fmt: skip
        filters = card.build_logmel().filters.to(device)  # (n_bins, F)
        # Each FFT bin takes the mean of the mel bins that hear it. Those that none hears, below
        # f_min and above f_max, take 0: they are left to the rest.
        total = filters.sum(dim=1, keepdim=True)
        mel_to_fft = torch.where(total > 0, filters / total, 0).T
        bins = torch.arange(window // 2 + 1, device=device)
        self._mel_to_fft = _at_bins(mel_to_fft, bins * (network_window * self._ratio / window))

    def separate(self, waveform: Audio, mask: Tensor) -> Audio:
        """Apply masks to a clip.

        Args:
            waveform: (…, N), of which the mask's frames begin with the first sample. Before the
                first and after the last frame's centre the mask stays as it is there.
            mask: (K, T, F) in [0, 1].

        Returns:
            (K, …, N). Of masks that sum to 1 these sum to the waveform, but below `f_min` and above
            `f_max`.
        """
        spectrum = self.analyse(waveform)
        spread = self.spread(mask, spectrum.shape[-1])
        for _ in range(waveform.ndim - 1):  # all channels have the same mask
            spread = spread.unsqueeze(1)
        return self.synthesise(spectrum * spread, waveform.shape[-1])

    def separate_ideally(self, wanted: Audio, rest: Audio) -> Audio:
        """Apply the ideal ratio mask, which nobody knows who does not know the sources.

        The mask is the wanted power over the sum of both powers (Wang, Narayanan and Wang, TASLP
        2014, with an exponent of 1), in every bin of the STFT.

        Args:
            wanted: (K, N).
            rest: (K, N), what else there is in the mixture.
        """
        spectra = self.analyse(wanted), self.analyse(rest)
        powers = [spectrum.abs().square() for spectrum in spectra]
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
        """Masks (K, T, F) on the frames and bins of the STFT: (K, n_bins, n_frames).

        Linear between the centres of the mask's frames.
        """
        hop = self._hop / self._ratio
        centre = torch.arange(n_frames, device=mask.device) * hop  # in the network's samples
        last = mask.shape[-2] - 1
        position = ((centre - self._mask_grid.window / 2) / self._mask_grid.hop).clamp(0, last)
        before = position.floor().long()
        after = (before + 1).clamp_max(last)
        between = (position - before).unsqueeze(-1)
        at_centres = mask[:, before] + between * (mask[:, after] - mask[:, before])
        return (at_centres @ self._mel_to_fft).transpose(-1, -2)


def _at_bins(per_bin: Tensor, position: Tensor) -> Tensor:
    """(F, n_bins) at positions (n,) between the bins, linearly; 0 beyond the last bin."""
    last = per_bin.shape[1] - 1
    before = position.floor().clamp_max(last).long()
    after = (before + 1).clamp_max(last)
    between = per_bin[:, before] + (position - before) * (per_bin[:, after] - per_bin[:, before])
    return between * (position <= last)


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
        self._detector = detector
        self.stft = MaskedStft(detector.card, detector.device, sample_rate)

    def listen(self, clip: Audio) -> tuple[Scores, Tensor]:
        """A conformed clip (n_samples,) -> scores (C,), masks (C, T, F) that know no others."""
        output = self._detector.activations(*self._detector.inputs(clip[None]))
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
