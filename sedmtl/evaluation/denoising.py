"""Does a decoder denoise? The distance of its log-mel from that of the events without the scene.

The paper shows one example (figure 3, second panel); this module measures it. Distances are root
mean squares over the bins of a clip: in dB, the log-spectral distance, and in standard deviations
of each mel bin in training, the unit of the decoder's loss.

Where no event is active, the log-mel of clean events is the logarithm's floor, which would dominate
any distance. Hence two sets of bins:

- audible: bins in which the clean events lie within 60 dB of the clip's loudest bin. This is the
  main result: it does not depend on a level assigned to silence.
- all: all bins, with levels below that limit raised to it. This also measures whether the scene is
  removed where no event is active, but depends on the limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sedmtl.evaluation.stems import Stems
from sedmtl.inference.detector import Detector
from sedmtl.metrics.annotation import Values
from sedmtl.metrics.spectral import DB, Bins, Spectra, rms_distance
from sedmtl.runtime.errors import SedmtlError

AUDIBLE_DB = 60.0
"""Bins at most this far below the loudest bin of a clip's clean events count as audible."""


class Distances(NamedTuple):
    """Distances to the clean events' log-mel, except the last.

    Attributes:
        noisy: From the network's input, which a denoiser has to beat.
        decoded: From the output of the task `denoise` if the run was trained on it, otherwise of
            the decoder.
        mean: From the training clips' mean spectrum, which ignores the clip.
        decoded_to_noisy: From the decoder's output to the network's input, its training target.
    """

    noisy: float
    decoded: float
    mean: float
    decoded_to_noisy: float


class Denoising(NamedTuple):
    """Mean distances over clips, or over folds.

    Attributes:
        audible_db: Over the audible bins, in dB.
        all_db: Over all bins, in dB.
        audible_std: Over the audible bins, in standard deviations of each mel bin.
        all_std: Over all bins, in the same unit.
    """

    audible_db: Distances
    all_db: Distances
    audible_std: Distances
    all_std: Distances

    @classmethod
    def mean_of(cls, measured: Iterable[Denoising | Values]) -> Denoising:
        """Average the distances of clips, or of folds."""
        means = np.mean([np.array(each) for each in measured], axis=0)  # (n, 4, 4) -> (4, 4)
        return cls(*(Distances(*map(float, row)) for row in means))


class Spectrograms(NamedTuple):
    """Natural log-mels (T, F) of one clip, at the same level."""

    clean: Spectra
    noisy: Spectra
    decoded: Spectra


def measure(detector: Detector, fold: Iterable[Stems]) -> Denoising:
    """Measure a run with a decoder on its held-out mixtures; those with silent events are skipped.

    Raises:
        SedmtlError: The events of all mixtures are silent.
    """
    mean, std = np.array(detector.card.mean), np.array(detector.card.std)
    clips = [
        compare(_spectrograms(detector, stems), mean, std) for stems in fold if stems.events.any()
    ]
    if not clips:
        raise SedmtlError(
            "all events of the held-out mixtures are silent: denoising needs audible ones"
        )
    return Denoising.mean_of(clips)


def compare(
    clip: Spectrograms, mean: npt.NDArray[np.floating], std: npt.NDArray[np.floating]
) -> Values:
    """The distances of one clip, given the mean and standard deviation (F,) of training log-mels.

    Returns:
        (4, 4): fields of `Denoising` by fields of `Distances`.
    """
    limit = clip.clean.max() - AUDIBLE_DB / DB
    raw = (*clip, np.broadcast_to(mean, clip.clean.shape))
    raised = tuple(np.maximum(each, limit) for each in raw)
    bins = [(raw, clip.clean > limit), (raised, np.ones(clip.clean.shape, np.bool_))]
    return np.array(
        [_distances(spectra, where, unit) for unit in (DB, 1 / std) for spectra, where in bins]
    )


def _distances(spectra: tuple[Spectra, ...], where: Bins, unit: float | Spectra) -> list[float]:
    clean, noisy, decoded, mean = spectra
    pairs = [(clean, noisy), (clean, decoded), (clean, mean), (noisy, decoded)]
    return [rms_distance(a * unit, b * unit, where) for a, b in pairs]


def _spectrograms(detector: Detector, stems: Stems) -> Spectrograms:
    # Peak normalisation scales a mixture's stems by the same factor, so levels match.
    clean, noisy = (detector.network.logmel(x[None]) for x in (stems.events, stems.mixture))
    decoded = _decoded(detector, noisy)
    return Spectrograms(*(batch[0].cpu().numpy() for batch in (clean, noisy, decoded)))


def _decoded(detector: Detector, noisy: Tensor) -> Tensor:
    """(B, T, F) denoised log-mel of the task `denoise`, or else the decoder's output."""
    is_denoiser = "denoise" in detector.card.heads
    output = detector.network.activations(noisy, reconstruct=not is_denoiser)
    if is_denoiser:
        return noisy - output.tasks["denoise"]
    assert output.reconstruction is not None
    return detector.card.build_standardiser().invert(output.reconstruction.cpu())
