"""Auxiliary tasks: what a network learns beside the clip scores. A file and a line for each."""

from __future__ import annotations

from sedmtl.runtime.errors import SedmtlError, suggest
from sedmtl.store import Store
from sedmtl.training.config import TrainConfig
from sedmtl.training.tasks.reconstruction import Reconstruction
from sedmtl.training.tasks.task import Task

TASKS: dict[str, type[Task]] = {"reconstruction": Reconstruction}


def build_tasks(config: TrainConfig, store: Store | None) -> dict[str, Task]:
    """The tasks of a run by name, with fresh weights.

    Without a store, only tasks that the network itself computes can be built.

    Raises:
        SedmtlError: A task does not exist.
    """
    return {name: _task(name)(config.network, store) for name in config.tasks}


def arrays_of(config: TrainConfig) -> tuple[str, ...]:
    """The arrays of the store that a run needs beside the log-mel.

    Raises:
        SedmtlError: A task does not exist.
    """
    return tuple(dict.fromkeys(array for name in config.tasks for array in _task(name).arrays))


def _task(name: str) -> type[Task]:
    if name not in TASKS:
        raise SedmtlError(f"no task is called '{name}': {suggest(name, TASKS)}")
    return TASKS[name]
