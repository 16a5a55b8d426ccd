"""The training loop: the paper's loss and optimiser, one epoch at a time, resumable exactly.

It holds no user interface: `fit` yields a record an epoch and calls back for each clip seen. An
epoch follows from the state before it, the seed and its number, so that going on from a saved
state gives what an uninterrupted run gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sedmtl.logmel import Standardiser
from sedmtl.metrics import clip as clip_metrics
from sedmtl.runtime import distributed
from sedmtl.runtime.errors import SedmtlError, is_out_of_memory
from sedmtl.store import Rows, Store, batches
from sedmtl.training.batches import Batch, BatchLoader, fits
from sedmtl.training.config import (
    RECONSTRUCTION,
    SELECTIONS,
    Selection,
    TrainConfig,
    build_network,
)
from sedmtl.training.losses import DETECTION, TOTAL, Objective
from sedmtl.training.split import Split, shuffled, split_rows
from sedmtl.training.tasks import arrays_of, build_tasks
from sedmtl.training.tasks.task import Task

CountClips = Callable[[int], None]


@dataclass
class Best:
    """The best epoch so far under one selection, and what it gave."""

    epoch: int = 0
    micro_p: float = -1.0
    held_out_score: Tensor = field(default_factory=lambda: torch.empty(0))
    weights: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def enough_memory(config: TrainConfig) -> Iterator[None]:
    """Turns too little memory, of a GPU or of the machine, into an error that names what to lower.

    Raises:
        SedmtlError: There was not enough.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = "the GPU" if isinstance(error, torch.cuda.OutOfMemoryError) else "this machine"
        raise SedmtlError(
            f"{where} has too little memory for --batch-size {config.batch_size} and --width "
            f"{config.network.width}: try --batch-size {max(1, config.batch_size // 2)}, or a "
            "smaller --width"
        ) from error


def open_trainer(config: TrainConfig, store: Store, device: torch.device) -> Trainer:
    """A trainer at its beginning: rows split, standardiser fitted, fresh weights.

    Raises:
        SedmtlError: The fold or the network does not exist.
    """
    split = split_rows(store.clips, config.fold)
    network = build_network(config, store)
    standardiser = Standardiser.fit(store.read(rows) for rows in batches(split.training_folds, 256))
    target = store.clips.target
    n_bytes = 4 * len(store) * math.prod(store.row_shape)
    reads = {name: partial(store.read, array=name) for name in ("logmel", *arrays_of(config))}
    loader = BatchLoader(reads, target, device, resident=fits(n_bytes, device))
    tasks = build_tasks(config, store)
    return Trainer(network, tasks, standardiser, loader, target, split, config, device)


class Trainer:
    """A network with its optimiser, the clips it learns from and the best it has been."""

    def __init__(
        self,
        network: nn.Module,
        tasks: Mapping[str, Task],
        standardiser: Standardiser,
        loader: BatchLoader,
        target: npt.NDArray[np.uint8],
        split: Split,
        config: TrainConfig,
        device: torch.device,
    ) -> None:
        for task, submodule in config.network.task_modules.items():
            if task not in config.tasks:
                # It is not run, and processes that train together would wait for its gradients.
                network.get_submodule(submodule).requires_grad_(False)
        network = distributed.join_batch_norm(network)
        self.config = config
        self.split = split
        self.device = device
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.standardiser = standardiser.to(device)
        self.loader = loader
        self._target = target
        in_bfloat16 = config.precision == "bfloat16"
        self._objective = Objective(self.network, tasks, config.tasks, in_bfloat16).to(device)
        self._joint_objective = distributed.average_gradients(self._objective)
        beside = (self._objective.weights, self._objective.heads)
        learned = [*network.parameters(), *(each for part in beside for each in part.parameters())]
        # One kernel for all weights; on the CPU Adam is a thousandth of a step.
        fused = device.type == "cuda"
        self.optimiser = torch.optim.Adam(learned, lr=config.lr, fused=fused)
        # The paper lowers the rate when the held-out score stalls. Here the inner validation
        # decides, or the validation-selected epoch would depend on the held-out fold.
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimiser, mode="max", factor=0.1, patience=3, threshold=0.0
        )
        self.best: dict[Selection, Best] = {selection: Best() for selection in SELECTIONS}
        self.history: list[dict[str, Any]] = []

    def fit(self, count: CountClips) -> Iterator[dict[str, Any]]:
        """Train to the last epoch; yields a record an epoch: a line of `metrics.jsonl`.

        Raises:
            SedmtlError: The loss is no longer finite, or the GPU ran out of memory.
        """
        for epoch in range(len(self.history) + 1, self.config.epochs + 1):
            started, waited_s = time.monotonic(), self.loader.waited_s
            rate = float(self.optimiser.param_groups[0]["lr"])
            with enough_memory(self.config):
                losses = self._train_epoch(epoch, count)
                validation = self.score(self.split.validation, count)
                held_out = self.score(self.split.held_out, count)
            record: dict[str, Any] = {
                "epoch": epoch,
                "lr": rate,
                **losses,
                "validation": self._metrics(self.split.validation, validation),
                "held_out": self._metrics(self.split.held_out, held_out),
                "seconds": round(time.monotonic() - started, 3),
                "seconds_waiting_for_data": round(self.loader.waited_s - waited_s, 3),
            }
            self._keep_best(record, held_out)
            self.schedule.step(record["validation"]["micro_p"])
            self.history.append(record)
            yield record

    def score(self, rows: Rows, count: CountClips = lambda _: None) -> npt.NDArray[np.float32]:
        """Clip scores of rows: (n, C) in [0, 1]; no auxiliary task is run."""
        self.network.eval()
        scores = torch.zeros(len(rows), self._target.shape[1], device=self.device)
        with torch.inference_mode():
            numbers = list(batches(np.arange(len(rows)), self.config.batch_size))
            shares = [distributed.share(batch) for batch in numbers]
            fed = self.loader.run(rows[share] for share in shares)
            for batch, share, clips in zip(numbers, shares, fed, strict=True):
                output = self._objective.run(self.standardiser(clips.logmel), with_tasks=False)
                scores[share] = output.clip.float()
                count(len(batch))
        # A clip's scores are zero but in one process: their sum is exact, and in order.
        return distributed.add_up(scores).cpu().numpy()

    def steps(self, rows: Rows) -> Iterator[tuple[int, Tensor]]:
        """Learn from rows, a global batch at a time.

        Yields:
            The clips of the batch, and the losses (`Objective.parts`), summed over this process's
            part of them, on the device.
        """
        chunks = list(batches(rows, self.config.batch_size))
        fed = self.loader.run(distributed.share(batch) for batch in chunks)
        for batch, clips in zip(chunks, fed, strict=True):
            yield len(batch), self._learn(clips, len(batch))

    def _learn(self, clips: Batch, n_in_batch: int) -> Tensor:
        loss = self._joint_objective(clips.with_logmel(self.standardiser(clips.logmel)))
        # The mean over processes of these weights times gradients is that of the whole batch.
        weight = distributed.world_size() * len(clips.target) / n_in_batch
        self.optimiser.zero_grad(set_to_none=True)
        (weight * loss[TOTAL]).backward()
        self.optimiser.step()
        parts = [loss[name].detach() for name in self._objective.parts]
        return len(clips.target) * torch.stack(parts)

    def state(self) -> dict[str, Any]:
        """All that going on needs: tensors and plain Python values only."""
        return {
            "network": self.network.state_dict(),
            "uncertainty": self._objective.weights.state_dict(),
            "tasks": self._objective.heads.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": {selection: asdict(best) for selection, best in self.best.items()},
            "history": self.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a saved state.

        Raises:
            SedmtlError: It is of another training, or has more epochs than the config.
        """
        try:
            n_done, n_wanted = len(state["history"]), self.config.epochs
            self.network.load_state_dict(state["network"])
            self._objective.weights.load_state_dict(state["uncertainty"])
            self._objective.heads.load_state_dict(state.get("tasks", {}))
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.load_state_dict(state["schedule"])
            self.best = {selection: Best(**best) for selection, best in state["best"].items()}
            self.history = list(state["history"])
        except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise SedmtlError(
                "last.pt is of another training than this: start the run anew with --force"
            ) from error
        if n_done > n_wanted:
            raise SedmtlError(
                f"the run has been trained for {n_done} epochs: go on with --epochs {n_done} or "
                f"more, or start it anew with --force; found --epochs {n_wanted}"
            )

    def _train_epoch(self, epoch: int, count: CountClips) -> dict[str, Any]:
        self.network.train()
        rows = shuffled(self.split.train, self.config.seed, epoch)
        # Summed on the device: asking for the loss at each step would wait for the GPU each time.
        sums = torch.zeros(len(self._objective.parts), device=self.device)
        for n_clips, losses in self.steps(rows):
            sums += losses
            count(n_clips)
        means = (distributed.add_up(sums) / len(rows)).tolist()
        mean = dict(zip(self._objective.parts, means, strict=True))
        if not np.isfinite(mean[TOTAL]):
            raise SedmtlError(
                f"the loss is {mean[TOTAL]} in epoch {epoch}: training diverged; try --lr "
                f"{self.config.lr / 10:g} or --precision float32"
            )
        return self._loss_record(mean)

    def _loss_record(self, losses: dict[str, float]) -> dict[str, float]:
        """The losses of an epoch, and the weights of the tasks after it."""
        alphas = self._objective.weights.alphas()
        record = {
            "loss": losses.pop(TOTAL),
            "detection_loss": losses.pop(DETECTION),
            "reconstruction_loss": losses.pop(RECONSTRUCTION, 0.0),
            "alpha": alphas.pop(RECONSTRUCTION, 0.0),
        }
        record |= {f"{name}_loss": loss for name, loss in losses.items()}
        return record | {f"{name}_alpha": alpha for name, alpha in alphas.items()}

    def _metrics(self, rows: Rows, score: npt.NDArray[np.float32]) -> dict[str, float]:
        return clip_metrics.evaluate(self._target[rows], score)._asdict()

    def _keep_best(self, record: dict[str, Any], held_out: npt.NDArray[np.float32]) -> None:
        for selection, part in SELECTIONS.items():
            micro_p = record[part]["micro_p"]
            if micro_p > self.best[selection].micro_p:
                weights = {
                    key: value.cpu().clone() for key, value in self.network.state_dict().items()
                }
                self.best[selection] = Best(
                    record["epoch"], micro_p, torch.from_numpy(held_out), weights
                )
