"""The training loop: the paper's loss and optimiser, one epoch at a time, resumable exactly.

It has no user interface: `fit` yields a record per epoch and reports progress to a callback. An
epoch depends only on the state before it, the seed and its number, so that a resumed run gives
the same result as an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sedmtl.inference.weights import join_weights
from sedmtl.logmel import Standardiser
from sedmtl.metrics.clip import evaluate
from sedmtl.models.bag import highest
from sedmtl.models.heads import SceneHead
from sedmtl.runtime import distributed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import counted
from sedmtl.store import Rows, batches
from sedmtl.training.bags import Bags
from sedmtl.training.batches import Batch, BatchLoader, standardised
from sedmtl.training.best import Best, keep_best
from sedmtl.training.class_balance import ClassWeights, balanced
from sedmtl.training.config import SELECTIONS, Selection, TrainConfig
from sedmtl.training.losses import CLIP, TOTAL, Objective
from sedmtl.training.memory import enough_memory
from sedmtl.training.optimiser import build_optimiser, build_schedule
from sedmtl.training.remix import Remixer
from sedmtl.training.split import Split, shuffled
from sedmtl.training.tasks import heads_of
from sedmtl.training.tasks.task import Task

CountClips = Callable[[int], None]

STATE_OF = {"logmel": "standardiser", "frames": "frames_standardiser"}
"""Keys of the standardisers in the saved state, by input array."""


class Trainer:
    """Trains a network: holds the optimiser, the data and the best epochs so far."""

    def __init__(
        self,
        network: nn.Module,
        tasks: Mapping[str, Task],
        standardisers: Mapping[str, Standardiser],
        loader: BatchLoader,
        target: npt.NDArray[np.uint8],
        split: Split,
        config: TrainConfig,
        device: torch.device,
        remixer: Remixer | None = None,
        bags: Bags | None = None,
    ) -> None:
        for task, submodule in config.network.task_modules.items():
            if task not in config.tasks:
                # It is not run, and distributed processes would wait for its gradients.
                network.get_submodule(submodule).requires_grad_(False)
        network = distributed.join_batch_norm(network)
        for each in tasks.values():
            distributed.join_batch_norm(each)
        frozen = config.network.encoder_modules if config.freeze_encoder else ()
        self._frozen = [network.get_submodule(name).requires_grad_(False) for name in frozen]
        self.config = config
        self.split = split
        self.device = device
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.standardisers = {name: each.to(device) for name, each in standardisers.items()}
        self.loader = loader
        self.remixer = remixer
        self._target = target
        self._bags = bags
        self._weights: ClassWeights | None = None
        in_bfloat16 = config.precision == "bfloat16"
        what = (self.network, tasks, config.tasks, in_bfloat16, config.network.inputs)
        self._objective = Objective(*what).to(device)
        self._objective.heads.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._joint_objective = distributed.average_gradients(self._objective)
        additional = (self._objective.weights, self._objective.heads)
        learned = [
            *network.parameters(),
            *(each for part in additional for each in part.parameters()),
        ]
        self.optimiser = build_optimiser(learned, config, device)
        n_steps = -(-self.n_clips // config.batch_size)
        self.schedule = build_schedule(self.optimiser, config, n_steps)
        self.best: dict[Selection, Best] = {selection: Best() for selection in SELECTIONS}
        self.history: list[dict[str, Any]] = []
        self.waited_s = 0.0

    def fit(self, count: CountClips) -> Iterator[dict[str, Any]]:
        """Train to the last epoch; yields a record per epoch, a line of `metrics.jsonl`.

        Raises:
            SedmtlError: The loss is not finite, or memory runs out.
        """
        for epoch in range(len(self.history) + 1, self.config.epochs + 1):
            started, waited_s = time.monotonic(), self.waited_s
            rate = float(self.optimiser.param_groups[0]["lr"])
            with enough_memory(self.config):
                losses = self._train_epoch(epoch, count)
                scores = {part: self.score(rows, count) for part, rows in self.split.scored.items()}
            targets = {part: self._target[rows] for part, rows in self.split.scored.items()}
            record: dict[str, Any] = {
                "epoch": epoch,
                "lr": rate,
                **losses,
                **{part: evaluate(targets[part], scores[part])._asdict() for part in scores},
                "seconds": round(time.monotonic() - started, 3),
                "seconds_waiting_for_data": round(self.waited_s - waited_s, 3),
            }
            weights = join_weights(self.network, self.heads)
            keep_best(self.best, record, scores.get("held_out"), weights)
            if self.config.schedule == "plateau":
                self.schedule.step(record["validation"]["micro_p"])
            self.history.append(record)
            yield record

    @property
    def heads(self) -> dict[str, nn.Module]:
        """Task heads that are saved with the network, by task."""
        return heads_of(dict(self._objective.heads.items()))

    @property
    def scenes(self) -> tuple[str, ...]:
        """Scene classes, if scene classification is a task."""
        head = self.heads.get("scene")
        return head.scenes if isinstance(head, SceneHead) else ()

    @property
    def n_clips(self) -> int:
        """Training clips per epoch."""
        return self.config.n_clips(len(self.split.train))

    def n_rows(self, clips: Rows) -> int:
        """Number of rows of clips; scoring uses all of them."""
        return len(clips) if self._bags is None else len(self._bags.windows.rows_of(clips)[0])

    def score(self, clips: Rows, count: CountClips = lambda _: None) -> npt.NDArray[np.float32]:
        """(n, C) clip scores in [0, 1]; no task is run, and `count` receives the rows done."""
        if self._bags is None:
            return self._score_rows(clips, count).cpu().numpy()
        rows, which = self._bags.windows.rows_of(clips)
        scores = self._score_rows(rows, count)
        return highest(scores, torch.from_numpy(which).to(self.device), len(clips)).cpu().numpy()

    def _score_rows(self, rows: Rows, count: CountClips) -> Tensor:
        self.network.eval()
        scores = torch.zeros(len(rows), self._target.shape[1], device=self.device)
        with torch.inference_mode():
            numbers = list(batches(np.arange(len(rows)), self.config.n_at_once))
            shares = [distributed.share(batch) for batch in numbers]
            fed = self.loader.read(rows[share] for share in shares)
            for batch, share, (_, arrays) in zip(numbers, shares, fed, strict=True):
                inputs = standardised(arrays, self.standardisers)
                output = self._objective.run(inputs, with_tasks=False)
                scores[share] = output.clip.float()
                count(len(batch))
        # Each row is non-zero in one process only, so the sum is exact.
        return distributed.add_up(scores)

    def steps(self, clips: Rows, loader: BatchLoader | None = None) -> Iterator[tuple[int, Tensor]]:
        """Train on clips of a loader, by default the store's, one global batch per step.

        A batch is split into micro-batches, and these among processes. Their gradients, weighted
        by their share of the clips, add up to the batch's gradient, except that batch norm
        normalises each micro-batch separately.

        Yields:
            The number of clips in the batch, and the losses (`Objective.parts`) summed over this
            process's clips, on the device.
        """
        loader = loader or self.loader
        waited_s = loader.waited_s
        chunks = [
            (part, len(batch))
            for batch in batches(clips, self.config.batch_size)
            for part in batches(batch, self.config.n_at_once)
        ]
        fed = loader.run((distributed.share(part) for part, _ in chunks), self._bags)
        n_seen, losses = 0, torch.zeros(len(self._objective.parts), device=self.device)
        for (part, n_in_batch), batch in zip(chunks, fed, strict=True):
            self.waited_s += loader.waited_s - waited_s
            waited_s = loader.waited_s
            losses = losses + self._add_gradients(batch, n_in_batch)
            n_seen += len(part)
            if n_seen == n_in_batch:
                self.optimiser.step()
                self.optimiser.zero_grad(set_to_none=True)
                if self.config.schedule == "cosine":
                    self.schedule.step()
                yield n_in_batch, losses
                n_seen, losses = 0, torch.zeros_like(losses)

    def _add_gradients(self, clips: Batch, n_in_batch: int) -> Tensor:
        """Accumulate the gradient of a micro-batch; returns its losses, summed over clips."""
        weight = None if self._weights is None else self._weights.at(clips.target)
        loss = self._joint_objective(clips.standardised(self.standardisers)._replace(weight=weight))
        # With this weight, the mean over processes, summed over micro-batches, is the gradient of
        # the whole batch.
        share = distributed.world_size() * len(clips.target) / n_in_batch
        (share * loss[TOTAL]).backward()
        if self._bags is not None:
            self._bags.remember(clips.rows, loss[CLIP])
        parts = [loss[name].detach() for name in self._objective.parts]
        return len(clips.target) * torch.stack(parts)

    def state(self) -> dict[str, Any]:
        """State needed to resume: tensors and plain Python values only."""
        return {
            "network": self.network.state_dict(),
            **{STATE_OF[name]: each.state_dict() for name, each in self.standardisers.items()},
            "uncertainty": self._objective.weights.state_dict(),
            "tasks": self._objective.heads.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": {selection: asdict(best) for selection, best in self.best.items()},
            "history": self.history,
            **({} if self._bags is None else {"windows": self._bags.known}),
        }

    def restore(self, state: dict[str, Any], path: Path = Path("last.pt")) -> None:
        """Restore a saved state; `path` is its file, for error messages.

        Raises:
            SedmtlError: The state belongs to another run, or has more epochs than the config.
        """
        try:
            n_done, n_wanted = len(state["history"]), self.config.epochs
            self.network.load_state_dict(state["network"])
            for name, standardiser in self.standardisers.items():
                if STATE_OF[name] in state:  # missing in earlier versions
                    standardiser.load_state_dict(state[STATE_OF[name]])
            self._objective.weights.load_state_dict(state["uncertainty"])
            self._objective.heads.load_state_dict(state.get("tasks", {}))
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.load_state_dict(state["schedule"])
            self.best = {selection: Best(**best) for selection, best in state["best"].items()}
            self.history = list(state["history"])
            if self._bags is not None:
                self._bags.known = state["windows"]
        except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise SedmtlError(f"{path} belongs to another run: start over with --force") from error
        if n_done > n_wanted:
            raise SedmtlError(
                f"the run has been trained for {counted(n_done, 'epoch')}: continue with --epochs "
                f"{n_done} or more, or start over with --force; found --epochs {n_wanted}"
            )

    def set_training(self) -> None:
        """Set training mode, but evaluation mode for frozen modules."""
        self.network.train()
        self._objective.heads.train()
        for module in self._frozen:
            module.eval()

    def _train_epoch(self, epoch: int, count: CountClips) -> dict[str, Any]:
        self.set_training()
        self._objective.follow(self.history)
        seeds = np.random.SeedSequence([self.config.seed, epoch, distributed.rank()])
        # Dropout uses torch's global generator, whose state is not saved.
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        if self._bags is not None:
            self._bags.begin(epoch)
        loader, rows = self._clips_of(epoch)
        if self.config.class_weights:
            self._weights = ClassWeights.of(loader.target_of(rows))
        # Summed on the device: reading the loss at each step would synchronise with the GPU.
        sums = torch.zeros(len(self._objective.parts), device=self.device)
        for n_clips, losses in self.steps(rows, loader):
            sums += losses
            count(n_clips)
        if self._bags is not None:
            self._bags.end()
        means = (distributed.add_up(sums) / len(rows)).tolist()
        mean = dict(zip(self._objective.parts, means, strict=True))
        if not np.isfinite(mean[TOTAL]):
            raise SedmtlError(
                f"the loss is {mean[TOTAL]} in epoch {epoch}: training diverged; try --lr "
                f"{self.config.lr / 10:g} or --precision float32"
            )
        return self._objective.record(mean)

    def _clips_of(self, epoch: int) -> tuple[BatchLoader, Rows]:
        """The loader of an epoch, and its clips in order."""
        if self.remixer is not None:
            return self.remixer.loader(epoch), np.arange(self.remixer.n_clips)
        train, seed = self.split.train, self.config.seed
        if self.config.balanced:
            return self.loader, balanced(train, self._target, seed, epoch)
        return self.loader, shuffled(train, seed, epoch)
