"""Training jobs for other processes, as files that `sedmtl train-job` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

from sedmtl.training.config import TrainConfig
from sedmtl.training.run import OnEpoch
from sedmtl.training.tensorboard import DrawClip


@dataclass(frozen=True)
class TrainOptions:
    """How to run the training, as opposed to what to train.

    Attributes:
        run_name: Name of the run folder, for a single run; by default the configuration's.
        n_gpus: Number of GPUs; None uses the GPU if there is one.
        resume: Continue an interrupted run. Grid runs always do.
        force: Discard the contents of the run folder.
        tensorboard: Also write TensorBoard event files.
        fit_memory: Split batches that do not fit in memory.
        data_yaml: Path of the project's data.yaml.
        debug: Show tracebacks of errors in other processes.
        draw: Draws the pictures for TensorBoard.
        on_epoch: Called with each epoch of a run in this process.
    """

    run_name: str | None = None
    n_gpus: int | None = None
    resume: bool = False
    force: bool = False
    tensorboard: bool = False
    fit_memory: bool = False
    data_yaml: str = "data.yaml"
    debug: bool = False
    draw: DrawClip | None = None
    on_epoch: OnEpoch | None = None


@contextmanager
def job_commands(
    configs: Sequence[TrainConfig], options: TrainOptions
) -> Iterator[list[list[str]]]:
    """Write a job file for each run; the files exist while the block runs.

    Yields:
        Command line arguments of each process, without the interpreter.
    """
    # Functions cannot be written to the file; the process has its own.
    names = {each.name for each in fields(options)} - {"draw", "on_epoch"}
    how = {name: getattr(options, name) for name in names}
    with TemporaryDirectory(prefix="sedmtl-") as folder:
        commands = []
        for number, config in enumerate(configs):
            path = Path(folder) / f"{number}.json"
            path.write_text(json.dumps({"config": config.plain(), "options": how}))
            debug = ["--debug"] if options.debug else []
            # -P: no modules are imported from the current folder, which is the user's.
            commands.append(["-P", "-m", "sedmtl", "train-job", str(path), *debug])
        yield commands


def read_job(path: Path, draw: DrawClip) -> tuple[TrainConfig, TrainOptions]:
    """Read a job file written by `job_commands`."""
    job = json.loads(path.read_text())
    return TrainConfig.of(job["config"]), TrainOptions(**job["options"], draw=draw)
