"""Recordings of any length and number: found, read ahead, cut, scored, and remembered when done."""

from sedmtl.recordings.prediction import (
    BATCH_SIZE,
    Findings,
    Prediction,
    Scorer,
    find_events,
    grid_of,
    predict,
    seconds_of,
    tags_of,
)

__all__ = [
    "BATCH_SIZE",
    "Findings",
    "Prediction",
    "Scorer",
    "find_events",
    "grid_of",
    "predict",
    "seconds_of",
    "tags_of",
]
