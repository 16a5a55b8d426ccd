"""Auxiliary tasks, which a network learns in addition to detection. One file and line per task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from sedmtl.models.heads import HEADS, Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.runtime.errors import SedmtlError, suggest
from sedmtl.training.tasks.active import Active
from sedmtl.training.tasks.count import Count
from sedmtl.training.tasks.denoise import Denoise
from sedmtl.training.tasks.reconstruct import Reconstruct
from sedmtl.training.tasks.scene import Scene
from sedmtl.training.tasks.separate import Separate
from sedmtl.training.tasks.task import Task
from sedmtl.training.weights import Weight, read_weight

TASKS: dict[str, type[Task]] = {
    "reconstruct": Reconstruct,
    "denoise": Denoise,
    "separate": Separate,
    "count": Count,
    "active": Active,
    "scene": Scene,
}

RECONSTRUCT = "reconstruct"
"""The paper's auxiliary task; files and the command line call its weight `alpha`."""


def task_class(name: str) -> type[Task]:
    """The class of a task.

    Raises:
        SedmtlError: There is no such task.
    """
    if name not in TASKS:
        raise SedmtlError(f"no task is called '{name}': {suggest(name, TASKS)}")
    return TASKS[name]


def build_tasks(names: Iterable[str], network: NetworkSettings, sizes: Sizes) -> dict[str, Task]:
    """Build tasks by name, with fresh parameters; raises like `task_class`."""
    return {name: task_class(name)(network, sizes) for name in names}


def heads_of(tasks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Heads of tasks that are saved with the network because their outputs are used."""
    return {name: task.get_submodule("head") for name, task in tasks.items() if name in HEADS}


def arrays_of(names: Iterable[str]) -> tuple[str, ...]:
    """Arrays that tasks need in addition to the log-mel; raises like `task_class`."""
    return tuple(dict.fromkeys(array for name in names for array in task_class(name).arrays))


def read_tasks(words: Iterable[str]) -> dict[str, Weight]:
    """Read tasks from the command line: `NAME` or `NAME=WEIGHT`.

    Raises:
        SedmtlError: A task does not exist or is given twice, or a weight is invalid.
    """
    weights: dict[str, object] = {}
    for word in words:
        name, _, weight = word.partition("=")
        if name in weights:
            raise SedmtlError(f"--task {name} is given twice: expected one weight for each task")
        weights[name] = weight if "=" in word else None
    return weigh_tasks(weights)


def weigh_tasks(weights: Mapping[str, object]) -> dict[str, Weight]:
    """Tasks with their weights, in the order of `TASKS`; None takes the task's default weight.

    Raises:
        SedmtlError: A task does not exist, or a weight is invalid.
    """
    own = {name: task_class(name).weight for name in weights}
    return {
        name: own[name] if weights[name] is None else read_weight(name, weights[name])
        for name in TASKS
        if name in weights
    }
