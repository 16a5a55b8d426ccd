"""Predictions of the task heads of runs for stored clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from sedmtl.inference.checkpoint import read_checkpoint
from sedmtl.inference.detector import Detector
from sedmtl.inference.task_predictions import TaskPredictions
from sedmtl.report.project.clips import Pick, Stored, read_stored, standardise


def predict_tasks(
    path: Path, picks: Sequence[Pick], logmels: Sequence[Stored]
) -> list[TaskPredictions]:
    """Predict each clip's tasks with the heads of its run; empty for runs without heads.

    Args:
        path: The feature store.
        picks: The clips.
        logmels: Log-mel of each, as stored.

    Raises:
        SedmtlError: As in `read_stored`, or a run is damaged.
    """
    network = picks[0].run.card.network
    if not any(pick.run.card.heads for pick in picks):
        return [TaskPredictions()] * len(picks)
    read = {"logmel": logmels}
    read |= {name: read_stored(path, name, picks) for name in network.inputs if name not in read}
    standardised = standardise(picks, logmels)
    folders = {pick.run.folder for pick in picks}
    saved = {folder: read_checkpoint(folder) for folder in folders}
    detectors = {
        folder: Detector(each.card, each.network(), heads=each.heads())
        for folder, each in saved.items()
    }
    found = []
    for number, pick in enumerate(picks):
        inputs = [torch.from_numpy(read[name][number])[None] for name in network.inputs]
        output = detectors[pick.run.folder].network.activations(*inputs)
        logmel = torch.from_numpy(standardised[number])[None]
        found.append(TaskPredictions.of(pick.run.card, logmel, output))
    return found
