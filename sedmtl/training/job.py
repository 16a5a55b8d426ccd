"""What another process is to train, and how: as a file, which `sedmtl train-job` reads."""

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
    """How to run, as against what to train.

    Attributes:
        run_name: Name of the run folder, for a single run; by default the configuration's.
        n_gpus: None for the GPU if there is one.
        resume: Go on with an interrupted run. The runs of a grid always do.
        force: Throw away what is in the run folder.
        tensorboard: Write TensorBoard's event files, too.
        fit_memory: Take a batch in parts where memory does not hold it whole.
        data_yaml: Of the project.
        debug: Show the traceback of an error of another process.
        draw: Makes the pictures in TensorBoard's files.
        on_epoch: Called with each epoch, of a run in this process.
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
    """Write a file for each run, which is there as long as the block lasts.

    Yields:
        What each process is to be started with, after the interpreter.
    """
    # Functions are not passed on: the process has its own.
    names = {each.name for each in fields(options)} - {"draw", "on_epoch"}
    how = {name: getattr(options, name) for name in names}
    with TemporaryDirectory(prefix="sedmtl-") as folder:
        commands = []
        for number, config in enumerate(configs):
            path = Path(folder) / f"{number}.json"
            path.write_text(json.dumps({"config": config.plain(), "options": how}))
            debug = ["--debug"] if options.debug else []
            # -P: Python takes no modules from the current folder, which is the user's.
            commands.append(["-P", "-m", "sedmtl", "train-job", str(path), *debug])
        yield commands


def read_job(path: Path, draw: DrawClip) -> tuple[TrainConfig, TrainOptions]:
    """Read what `job_commands` wrote."""
    job = json.loads(path.read_text())
    return TrainConfig.of(job["config"]), TrainOptions(**job["options"], draw=draw)
