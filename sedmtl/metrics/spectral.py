"""Distances of log spectrograms, such as the log-spectral distance (Gray and Markel, 1976)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Spectra = npt.NDArray[np.floating]
Bins = npt.NDArray[np.bool_]

DB = 20 / math.log(10)
"""Decibels per unit of a magnitude's natural logarithm."""


def rms_distance(reference: Spectra, estimate: Spectra, where: Bins) -> float:
    """Root mean square difference of log spectrograms (…) over the bins `where`.

    Has the unit of the inputs; for dB, it is the log-spectral distance. NaN if no bin is selected.
    """
    differences = (np.asarray(reference, np.float64) - estimate)[where]
    return float(np.sqrt(np.mean(np.square(differences)))) if differences.size else math.nan
