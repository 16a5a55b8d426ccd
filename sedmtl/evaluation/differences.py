"""The settings in which networks differ, and names made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sedmtl.evaluation.rows import Row, by_data
from sedmtl.models.registry import plain_settings
from sedmtl.training.tasks import RECONSTRUCT

SPECIAL = {"data", "fold", "alpha", "remix", "from", "freeze_encoder", "micro_batch", "tasks",
           "supervision"}  # fmt: skip
"""Settings that are shown in another form than in `run.yaml`, or not at all."""


def differences(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Settings other than model and width that differ between networks, as text per row.

    A setting that only some networks have counts as different only if its values differ among them.
    """
    facts = [_facts(row) for row in rows]
    found = {}
    for key in dict.fromkeys(key for each in facts for key in each):
        values = [each.get(key) for each in facts]
        if len(set(values) - {None}) > 1:
            found[key] = ["" if value is None else value for value in values]
    return found


def names_of(rows: Sequence[Row]) -> list[str]:
    """Names of networks: model and width, plus settings that distinguish networks with the same."""
    names = {}
    for _, group in by_data(rows):
        for name in dict.fromkeys(row.name for row in group):
            alike = [row for row in group if row.name == name]
            columns = differences(alike)
            for i, row in enumerate(alike):
                told = [f"{key} {values[i]}" for key, values in columns.items() if values[i]]
                names[id(row)] = ", ".join([name, *told])
    return [names[id(row)] for row in rows]


def _facts(row: Row) -> dict[str, str]:
    """The settings of a network as text, by column name."""
    run, config = row.runs[0], row.runs[0].config
    plain = config.plain()
    options = asdict(config.network)
    others = plain_settings(config.network).keys() | SPECIAL
    names = [run.given_name for run in row.runs]
    facts: dict[str, Any] = {"run": names[0] + "…" * (len(set(names)) > 1)}
    facts |= {key: value for key, value in options.items() if key != "width"}
    if RECONSTRUCT in config.network.task_modules:
        facts["α"] = config.alpha
    told = ", ".join(f"known {what}" for what in row.known) or "weak labels"
    facts |= {"schedule": config.schedule, "supervision": told}
    tasks = [f"{name} {_text(w)}" for name, w in config.tasks.items() if name != RECONSTRUCT]
    facts["tasks"] = ", ".join(tasks) or "none"
    frozen = ", encoder frozen" * config.freeze_encoder
    facts |= {"from": f"{config.parent or 'scratch'}{frozen}"}
    facts |= {"micro batch": config.micro_batch or "no"}
    facts |= {key: value for key, value in plain.items() if key not in others}
    remix = plain.get("remix")
    facts["remix"] = "yes" if remix else "no"
    facts |= {f"remix {key}": value for key, value in (remix or {}).items()}
    facts["features"] = str(run.recipe.get("store_digest", ""))[:6]
    return {key.replace("_", " "): _text(value) for key, value in facts.items()}


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
