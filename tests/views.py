"""Synthetic inspections of a clip, for the tests of pictures and pages."""

from __future__ import annotations

import numpy as np

from sedmtl.inference.inspection import Inspection
from sedmtl.report.figures.view import View

N_FRAMES, N_MELS = 30, 12
NAMES = ("siren", "bird", "drip", "knock", "flute", "clap", "bell", "rattle")


def inspection_of(n_classes, seed=0, names=None):
    """An inspection of 3 s, 2 s into a file; its frames begin and end slightly inside."""
    rng = np.random.default_rng(seed)
    return Inspection(
        classes=tuple(names or (f"class_{i}" for i in range(n_classes))),
        clip=rng.random(n_classes).astype("f4"),
        frame=rng.random((n_classes, N_FRAMES)).astype("f4"),
        mel_attention=rng.dirichlet(np.ones(N_MELS), size=(n_classes, N_FRAMES)).astype("f4"),
        time_attention=rng.dirichlet(np.ones(N_FRAMES), size=n_classes).astype("f4"),
        logmel=rng.normal(size=(N_FRAMES, N_MELS)).astype("f4"),
        reconstruction=rng.random((N_FRAMES, N_MELS)).astype("f4"),
        frame_edges_s=np.linspace(2.05, 4.95, N_FRAMES + 1),
        logmel_edges_s=np.linspace(2.05, 4.95, N_FRAMES + 1),
        mel_hz=np.geomspace(60, 3500, N_MELS).astype("f4"),
        duration_s=3.0,
    )


def view_of(inspection, **changes):
    facts = {"name": "run", "start_s": 2.0, "end_s": 5.0, "frame_meaning": "signed"}
    return View(inspection=inspection, **{**facts, **changes})
