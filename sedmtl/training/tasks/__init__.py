"""Auxiliary tasks: what a network learns beside the clip scores. A file and a line for each."""

from __future__ import annotations

from importlib import import_module

from sedmtl.runtime.errors import SedmtlError, suggest
from sedmtl.store import Store
from sedmtl.training.config import TrainConfig
from sedmtl.training.tasks.task import Task

TASKS = {
    "reconstruction": "sedmtl.training.tasks.reconstruction.Reconstruction",
}


def task_class(name: str) -> type[Task]:
    """The task of that name.

    Raises:
        SedmtlError: There is no task of that name.
    """
    if name not in TASKS:
        raise SedmtlError(f"no task is called '{name}': {suggest(name, TASKS)}")
    module, _, of_class = TASKS[name].rpartition(".")
    found: type[Task] = getattr(import_module(module), of_class)
    return found


def build_tasks(config: TrainConfig, store: Store) -> dict[str, Task]:
    """The tasks of a run by name, with fresh weights.

    Raises:
        SedmtlError: There is no task of a name.
    """
    return {name: task_class(name)(config.network, store) for name in config.tasks}


def arrays_of(config: TrainConfig) -> tuple[str, ...]:
    """The arrays of the store that a run needs beside the log-mel.

    Raises:
        SedmtlError: There is no task of a name.
    """
    named = [array for name in config.tasks for array in task_class(name).arrays]
    return tuple(dict.fromkeys(named))
