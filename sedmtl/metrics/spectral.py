"""Distances of log spectrograms: the log-spectral distance (Gray and Markel, 1976) and its kind."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Spectra = npt.NDArray[np.floating]
Bins = npt.NDArray[np.bool_]

DB = 20 / math.log(10)
"""What one unit of a magnitude's natural logarithm is in dB."""


def rms_distance(reference: Spectra, estimate: Spectra, where: Bins) -> float:
    """Root mean square difference of log spectrograms (…) over the bins `where`.

    In the unit of both, in dB the log-spectral distance; NaN if there is no bin to compare.
    """
    differences = (np.asarray(reference, np.float64) - estimate)[where]
    return float(np.sqrt(np.mean(np.square(differences)))) if differences.size else math.nan
