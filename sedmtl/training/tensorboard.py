"""TensorBoard event files: the numbers of `metrics.jsonl`, and a picture every few epochs.

The only module that imports tensorboard, and only on request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sedmtl.events import Event
from sedmtl.inference.inspection import Inspection
from sedmtl.models import SedOutput
from sedmtl.models.settings import FrameMeaning
from sedmtl.runtime import distributed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store
from sedmtl.training.batches import standardised
from sedmtl.training.finalize import card_of
from sedmtl.training.loop import Trainer
from sedmtl.training.tasks import RECONSTRUCT

Record = Mapping[str, Any]
Add = Callable[[Record], None]
DrawClip = Callable[[str, Inspection, FrameMeaning, Sequence[Event] | None, str], Any]
"""Network name, inspection of a clip, meaning of its frame scores, true events if known, title ->
figure."""

FIGURE_EVERY = 5
"""Epochs between pictures: 50 epochs make ten, the most that TensorBoard shows of a run. A picture
takes a second and 0.2 MB."""

SCREEN_DPI = 150
"""Resolution of the pictures, which are designed for print."""


def summary_writer() -> Any:
    """TensorBoard's `SummaryWriter` class.

    Raises:
        SedmtlError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SedmtlError(
            "--tensorboard needs tensorboard: install it with pip install 'sedmtl[tensorboard]'"
        ) from error
    return SummaryWriter


@contextmanager
def follow(run: Path, trainer: Trainer, store: Store, draw: DrawClip | None) -> Iterator[Add]:
    """Write event files to a run folder while the block trains; only process 0 writes.

    A step is an epoch. Epochs lost because the process ended before their state was saved are
    purged; past epochs from before TensorBoard was enabled are added.

    Args:
        run: The folder.
        trainer: The trainer, already restored if the run is resumed.
        store: Its training store.
        draw: Draws the pictures; None writes nothing at all.

    Yields:
        A function to call with the record of each epoch, before the state is saved.
    """
    if draw is None or distributed.rank() > 0:
        yield lambda _: None
        return
    n_done, n_epochs = len(trainer.history), trainer.config.epochs
    is_new = not any(run.glob("events.out.tfevents.*"))
    with summary_writer()(run, purge_step=n_done + 1) as writer:
        for record in trainer.history if is_new else ():
            _add_scalars(writer, record)

        def add(record: Record) -> None:
            _add_scalars(writer, record)
            if record["epoch"] % FIGURE_EVERY == 0 or record["epoch"] == n_epochs:
                _add_figure(writer, run.name, trainer, store, draw)
            writer.flush()

        yield add


def _add_scalars(writer: Any, record: Record) -> None:
    """Add the numbers of an epoch under their `metrics.jsonl` names, such as `held_out/micro_p`."""
    epoch = record["epoch"]
    for key, value in record.items():
        if isinstance(value, Mapping):
            for name, number in value.items():
                writer.add_scalar(f"{key}/{name}", number, epoch)
        elif key != "epoch":
            writer.add_scalar(key, value, epoch)


def _add_figure(writer: Any, run_name: str, trainer: Trainer, store: Store, draw: DrawClip) -> None:
    """Add the paper's figure 3 for a fixed clip that is not trained on, with current weights.

    This is the first labelled clip of the held-out fold or, without one, of inner validation.
    """
    (part, rows), epoch = list(trainer.split.scored.items())[-1], len(trainer.history)
    clip = int(rows[np.argmax(store.clips.target[rows].any(axis=1))])
    truth = store.clips.events.of_clip(clip, store.classes) or None  # no strong labels
    row = int(store.clips.rows_of(np.array([clip]))[0][0])  # the first window of a long recording
    title = f"{store.clips.name[clip]}, {part.replace('_', ' ')}, after epoch {epoch}"
    meaning = trainer.config.network.frame_meaning
    figure = draw(run_name, _inspect(trainer, store, row), meaning, truth, title)
    figure.set_dpi(SCREEN_DPI)
    writer.add_figure(part, figure, epoch, close=False)


def _inspect(trainer: Trainer, store: Store, row: int) -> Inspection:
    """Inspect a stored clip with the current weights, in float32."""
    names = dict.fromkeys(("logmel", *trainer.config.network.inputs))
    stored = {n: torch.from_numpy(store.read(range(row, row + 1), n)) for n in names}
    on_device = {name: each.to(trainer.device) for name, each in stored.items()}
    trainer.network.eval()
    with torch.inference_mode():
        arrays = standardised(on_device, trainer.standardisers)
        inputs = [arrays[name] for name in trainer.config.network.inputs]
        reconstruct = RECONSTRUCT in trainer.config.tasks
        output: SedOutput = trainer.network(*inputs, reconstruct=reconstruct)
    return Inspection.of(card_of(trainer, store), arrays["logmel"], output)
