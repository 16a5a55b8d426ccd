"""SI-SDR: scale-invariant signal-to-distortion ratio.

Le Roux, Wisdom, Erdogan and Hershey, "SDR - half-baked or well done?" (ICASSP 2019).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Waveforms = npt.NDArray[np.floating]


def si_sdr(reference: Waveforms, estimate: Waveforms) -> npt.NDArray[np.float64]:
    """Compute the scale-invariant signal-to-distortion ratio of waveforms (…, N).

    This is the energy of the estimate's projection onto the reference over the energy of the
    residual. Means are not subtracted.

    Returns:
        (…) in dB: inf for a multiple of the reference, -inf for an estimate orthogonal to it, NaN
        if either is silent.
    """
    reference, estimate = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = (estimate * reference).sum(axis=-1) / np.square(reference).sum(axis=-1)
        wanted = scale[..., None] * reference
        energies = np.square(wanted).sum(axis=-1) / np.square(estimate - wanted).sum(axis=-1)
        decibels: npt.NDArray[np.float64] = 10 * np.log10(energies)
    return decibels
