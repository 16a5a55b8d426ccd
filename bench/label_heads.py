"""Measures what the heads of `count`, `active` and `scene` predict on held-out mixtures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from sedmtl.config import Config
from sedmtl.evaluation.rows import ScoredRun
from sedmtl.inference.detector import Detector
from sedmtl.metrics.ranking import average_precision
from sedmtl.runtime.devices import choose_device
from sedmtl.store import Rows, Store, batches
from sedmtl.training.known import POLYPHONY, SCENE, Knowledge, at_scores

N_CLIPS = 16
"""Clips per batch."""

LABEL_TERMS = {
    "count_error": "error of the number of events",
    "active_ap": "AP of activity",
    "scene_accuracy": "accuracy of the scene",
}
"""Titles of the metrics, by key."""


def label_terms(run: ScoredRun, features: Path) -> dict[str, float]:
    """`LABEL_TERMS` of a run on its held-out fold of a feature store; NaN for what it lacks.

    The error is the mean absolute one over frames. A run with none of the heads is measured by the
    presences of its classes: their sum, and the probability that any of them is active.
    """
    asked = {POLYPHONY: "the count"} | ({SCENE: "the scene"} if "scene" in run.card.heads else {})
    with Store(features, "logmel") as store:
        rows = np.flatnonzero(store.clips.fold == run.fold)
        project = Config.model_validate(yaml.safe_load(store.data_yaml))
        knowledge = Knowledge.of_store(asked, store, rows, project)
        readers = knowledge.of(store.clips.events, store.clips.scene)
        known = {name: read(rows) for name, read in readers.items()}
        predicted = _predict(run, store, rows)

    def counted(task: str) -> Tensor:
        return at_scores(torch.from_numpy(known[POLYPHONY]).float(), predicted[task].shape[-1])

    terms = dict.fromkeys(LABEL_TERMS, float("nan"))
    if "count" in predicted:
        terms["count_error"] = float((predicted["count"] - counted("count")).abs().mean())
    if "active" in predicted:
        scores, is_active = predicted["active"].numpy(), counted("active").numpy() > 0
        terms["active_ap"] = average_precision(np.sort(scores[is_active]), np.sort(scores.ravel()))
    if "scene" in predicted:
        found = np.array(run.card.scenes)[predicted["scene"].argmax(dim=1)]
        true = np.array(knowledge.scenes)[known[SCENE]]
        terms["scene_accuracy"] = float(np.mean(found == true))
    return terms


def _predict(run: ScoredRun, store: Store, rows: Rows) -> dict[str, Tensor]:
    """Output of each head; of presences if there is no head."""
    device = choose_device(None)
    network = Detector.load(run.folder, device, with_heads=True).network
    outputs = [
        network.activations(torch.from_numpy(store.read(some)).to(device))
        for some in batches(rows, N_CLIPS)
    ]
    heads = outputs[0].tasks.keys() & {"count", "active", "scene"}
    made = {name: torch.cat([output.tasks[name] for output in outputs]) for name in heads}
    if not heads and run.card.network.frame_meaning == "presence":
        presence = torch.cat([output.frame for output in outputs])
        made = {"count": presence.sum(dim=1), "active": 1 - (1 - presence).prod(dim=1)}
    return {name: values.float().cpu() for name, values in made.items()}
