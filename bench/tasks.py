"""`make tasks`: a comparison of auxiliary tasks and their weights, on any project.

The stores need stems: `sedmtl mix --stems`, then `sedmtl features`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.label_heads import LABEL_TERMS, label_terms
from bench.study import METRICS, Study, compare, metrics_in
from sedmtl.evaluation.aggregate import tabulate
from sedmtl.evaluation.evaluate import score_runs
from sedmtl.evaluation.stem_scores import measure
from sedmtl.training.tasks import RECONSTRUCT, TASKS

CHEAP = "--model pooled --batch-size 16 --schedule cosine --remix"
PAPERS = "--model 2apae --width 8 --batch-size 8 --epochs 10"

FAMILY = list(TASKS)
LABELS_ONLY = [name for name in FAMILY if TASKS[name].needs == "labels"]


def with_tasks(base: str, names: Sequence[str] = (), weight: str = "") -> str:
    """Options for these tasks only, with their default weights or all with the same weight."""
    weights = {RECONSTRUCT: "=0"} | dict.fromkeys(names, weight)
    return " ".join([base, *(f"--task {name}{weight}" for name, weight in weights.items())])


ROWS = {
    "no task": with_tasks(CHEAP),
    **{name: with_tasks(CHEAP, [name]) for name in FAMILY},
    **{f"{name}, auto": with_tasks(CHEAP, [name], "=auto") for name in FAMILY},
    "all": with_tasks(CHEAP, FAMILY),
    "all, auto": with_tasks(CHEAP, FAMILY, "=auto"),
    "all, dwa": with_tasks(CHEAP, FAMILY, "=dwa"),
    "denoise, separate": with_tasks(CHEAP, ["denoise", "separate"]),
    "labels only, auto": with_tasks(CHEAP, LABELS_ONLY, "=auto"),
    "2apae, no task": with_tasks(PAPERS),
    **{f"2apae, {name}": with_tasks(PAPERS, [name]) for name in FAMILY},
    "2apae, all, auto": with_tasks(PAPERS, FAMILY, "=auto"),
}
"""Options of `sedmtl train`, by row."""

OWN_TERMS = {
    "distance": "distance to clean events, share of the input's",
    "told": "SI-SDR gain, oracle labels (dB)",
    "heard": "SI-SDR gain, predicted labels (dB)",
    "leak": "leak (dB)",
    **LABEL_TERMS,
}
"""Titles of metrics of the tasks themselves, by key."""


def figures_of(run: Path, store: Path) -> dict[str, float]:
    """`METRICS` and `OWN_TERMS` of a finished run on a feature store whose mixtures have stems."""
    figures: dict[str, float] = dict.fromkeys(OWN_TERMS, float("nan"))
    scored = score_runs(run.parent, [run.name], store)
    figures |= label_terms(scored[0], store)
    decodes = scored[0].card.reconstructs or "denoise" in scored[0].config.tasks
    row = tabulate(measure(run.parents[1], scored, denoise=decodes, separation=True))[0]
    figures |= metrics_in(row)
    if row.denoising is not None:
        distances = row.denoising.audible_db
        figures["distance"] = distances.decoded / distances.noisy
    if row.separation is not None:
        means: Mapping[str, float] = {name: float(v) for name, v in row.separation[0].items()}
        figures |= {name: means[name] for name in ("told", "heard", "leak")}
    return figures


STUDY = Study("tasks", ROWS, "no task", {**METRICS, **OWN_TERMS}, figures_of)

if __name__ == "__main__":
    compare(STUDY, __doc__)
