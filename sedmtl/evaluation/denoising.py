"""Is the decoder a denoiser? How far its log-mel is from that of the events without the scene.

The paper shows one picture (figure 3, its second panel); here is the number. Distances are root
mean squares over the bins of a clip: in dB the log-spectral distance, and in units of the standard
deviation that each mel bin has in training, in which the decoder's loss is counted. The decoder
works on the standardised log-mel; its output is brought back with the run's own mean and deviation.
A mixture's peak normalisation scales its stems along with it, so that no level has to be guessed.

Where no event sounds, the log-mel of clean events is the logarithm's floor and every number would
be about that. So there are two:

- audible: over the bins in which the clean events lie within 60 dB of the clip's loudest. This is
  the headline: a clean spectrum exists there, and no choice of ours says how far silence is.
- all: over all bins, everything below that limit lifted to it. It also asks whether the scene is
  removed where nothing else sounds, and is worth as much as the limit that it depends on.

Two rivals say what a distance is worth: the noisy input itself, which a denoiser has to beat, and
the training clips' mean spectrum, which anything has to beat that has listened to the clip.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sedmtl.evaluation.stems import Stems
from sedmtl.inference.activations import Interior
from sedmtl.metrics.spectral import DB, Bins, Spectra, rms_distance
from sedmtl.runtime.errors import SedmtlError

AUDIBLE_DB = 60.0
"""How far below the loudest bin of a clip's clean events a bin still counts as audible."""


class Distances(NamedTuple):
    """To the clean events' log-mel, but for the last.

    Attributes:
        noisy: Of the network's input.
        decoded: Of the decoder's output.
        mean: Of the training clips' mean spectrum.
        decoded_to_noisy: Of the decoder's output to the network's input, which it is trained to
            give back.
    """

    noisy: float
    decoded: float
    mean: float
    decoded_to_noisy: float


class Denoising(NamedTuple):
    """Means over clips, or over folds of such means.

    Attributes:
        audible_db: Over the audible bins, in dB.
        all_db: Over all bins, in dB.
        audible_std: Over the audible bins, in standard deviations of each mel bin.
        all_std: Over all bins, likewise.
    """

    audible_db: Distances
    all_db: Distances
    audible_std: Distances
    all_std: Distances

    @classmethod
    def mean_of(cls, measured: Iterable[npt.ArrayLike]) -> Denoising:
        """Average what is laid out as this is: of clips, or of folds."""
        means = np.mean(
            [np.asarray(each, np.float64) for each in measured], axis=0
        )  # (n, 4, 4) -> (4, 4)
        return cls(*(Distances(*map(float, row)) for row in means))


class Spectrograms(NamedTuple):
    """Of one clip: (T, F) natural log-mels, at one level."""

    clean: Spectra
    noisy: Spectra
    decoded: Spectra


def measure(interior: Interior, fold: Iterable[Stems]) -> Denoising:
    """Measure a run with a decoder on mixtures whose events are known.

    Args:
        interior: Of the run.
        fold: Its held-out mixtures; those whose events are silent have no say.

    Raises:
        SedmtlError: No mixture has an event that can be heard.
    """
    mean, std = np.array(interior.card.mean), np.array(interior.card.std)
    clips = [
        compare(_spectrograms(interior, stems), mean, std) for stems in fold if stems.events.any()
    ]
    if not clips:
        raise SedmtlError("none of the held-out mixtures has an event that is not silent")
    return Denoising.mean_of(clips)


def compare(
    clip: Spectrograms, mean: npt.NDArray[np.floating], std: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """The distances of one clip.

    Args:
        clip: Its spectrograms.
        mean: (F,) of the training clips' log-mel.
        std: (F,) likewise.

    Returns:
        (4, 4): the fields of `Denoising`, and of each those of `Distances`.
    """
    limit = clip.clean.max() - AUDIBLE_DB / DB
    audible, everywhere = clip.clean > limit, np.ones(clip.clean.shape, np.bool_)
    lifted = Spectrograms(*(np.maximum(each, limit) for each in clip))
    lifted_mean = np.maximum(mean, limit)
    return np.array(
        [
            _distances(clip, mean, audible, DB),
            _distances(lifted, lifted_mean, everywhere, DB),
            _distances(clip, mean, audible, 1 / std),
            _distances(lifted, lifted_mean, everywhere, 1 / std),
        ]
    )


def _distances(
    clip: Spectrograms, mean: Spectra, where: Bins, unit: float | Spectra
) -> list[float]:
    pairs = [
        (clip.clean, clip.noisy),
        (clip.clean, clip.decoded),
        (clip.clean, np.broadcast_to(mean, clip.clean.shape)),
        (clip.noisy, clip.decoded),
    ]
    return [rms_distance(a * unit, b * unit, where) for a, b in pairs]


def _spectrograms(interior: Interior, stems: Stems) -> Spectrograms:
    insight = interior.look(stems.mixture[None], reconstruct=True)
    assert insight.reconstruction is not None
    clean = interior.logmel(stems.events[None])
    return Spectrograms(_array(clean), _array(insight.logmel), _array(insight.reconstruction))


def _array(batch: Tensor) -> Spectra:
    """(1, T, F) -> (T, F)."""
    only: Spectra = batch[0].cpu().numpy()
    return only
