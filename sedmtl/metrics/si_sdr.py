"""SI-SDR: how much of an estimated signal is the wanted one, at whatever level it comes.

The definition of Le Roux, Wisdom, Erdogan and Hershey: "SDR - half-baked or well done?" (ICASSP
2019).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Waveforms = npt.NDArray[np.floating]


def si_sdr(reference: Waveforms, estimate: Waveforms) -> npt.NDArray[np.float64]:
    """Scale-invariant signal-to-distortion ratio.

    The estimate is split into the multiple of the reference that is nearest to it and what is
    left, which is orthogonal to the reference: the ratio of their energies. Means are not taken
    off.

    Args:
        reference: (…, N) the wanted signals.
        estimate: (…, N).

    Returns:
        (…) in dB: inf of a multiple of the reference, -inf of an estimate that has nothing of it;
        NaN where either is silent.
    """
    reference, estimate = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = (estimate * reference).sum(axis=-1) / np.square(reference).sum(axis=-1)
        wanted = scale[..., None] * reference
        energies = np.square(wanted).sum(axis=-1) / np.square(estimate - wanted).sum(axis=-1)
        decibels: npt.NDArray[np.float64] = 10 * np.log10(energies)
    return decibels
