"""The multi-task loss (paper, equations 7 and 17), with given weights or learned ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models import SedOutput
from sedmtl.models.bag import highest
from sedmtl.training.batches import Batch
from sedmtl.training.known import PRESENCE, at_frames
from sedmtl.training.tasks import RECONSTRUCT
from sedmtl.training.tasks.task import Task
from sedmtl.training.weights import TaskWeights, Weight

TOTAL, DETECTION = "total", "detection"

CLIP = "clip"
"""Not a loss: the clip scores (W, C) of the rows of recordings, to be remembered."""


def detection_loss(
    clip: Tensor, target: Tensor, reduction: str, weight: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of clip scores (B, C) and targets (B, C) of 0 and 1, a scalar."""
    clip = clip.float().clamp(0, 1)
    # On a GPU a NaN in here would trip an assertion that ends the process; this way it comes out
    # as a NaN loss, which the loop explains.
    loss = F.binary_cross_entropy(clip.nan_to_num(0.5), target, weight, reduction=reduction)
    return loss + 0 * clip.detach().sum()


def over_clips(loss: Tensor, which: Tensor | None) -> Tensor:
    """The mean over clips of the means over their rows: (W, …) -> a scalar, which stays as it is.

    Every clip counts the same, however the batch is divided among processes.
    """
    if which is None:
        return loss
    n_rows = which.bincount(minlength=1)
    weights = 1 / (n_rows[which] * len(n_rows))
    return (weights * loss.unsqueeze(-1).flatten(1).mean(dim=1)).sum()


class Objective(nn.Module):
    """A network together with its tasks and its loss: one module that holds all that learns.

    Args:
        network: What is trained.
        tasks: By name.
        weights: Of each task, or the rule that finds it.
        in_bfloat16: Whether to compute convolutions and dense layers in it.
        inputs: Names of the arrays that the network takes.
    """

    def __init__(
        self,
        network: nn.Module,
        tasks: Mapping[str, Task],
        weights: Mapping[str, Weight],
        in_bfloat16: bool,
        inputs: Sequence[str] = ("logmel",),
    ) -> None:
        super().__init__()
        self.network = network
        self.tasks = dict(tasks)
        self.heads = nn.ModuleDict(self.tasks)
        scales = {name: task.learned_scale for name, task in tasks.items()}
        self.weights = TaskWeights(weights, scales)
        self.in_bfloat16, self._inputs = in_bfloat16, inputs

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the losses, in the order in which `forward` returns them."""
        return (TOTAL, DETECTION, *self.tasks)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch, scalars by name; what the network takes is standardised."""
        return self.losses(self.run(batch.arrays, with_tasks=True), batch)

    def losses(self, output: SedOutput, batch: Batch) -> dict[str, Tensor]:
        """The losses of what the network and the tasks made of a batch: those of `parts`.

        Of recordings of several rows also their clip scores, as `CLIP`.
        """
        # One of several processes may have no clip of a batch: a sum over nothing is 0, a mean NaN.
        reduction = "mean" if len(batch.target) else "sum"
        clip, of_rows = output.clip, reduction
        scores: dict[str, Tensor] = {}
        if batch.which is not None:
            clip = highest(output.clip.float(), batch.which, len(batch.target))
            of_rows, scores = "none", {CLIP: output.clip.detach()}
        detection = detection_loss(clip, batch.target, reduction, batch.weight)
        if PRESENCE in batch.arrays:
            presence = at_frames(batch.arrays[PRESENCE].float(), output.frame.shape[-1])
            detection = detection + over_clips(
                detection_loss(output.frame, presence, of_rows), batch.which
            )
        losses = {
            name: over_clips(
                task.loss(output.tasks[name].float(), task.target(batch), of_rows), batch.which
            )
            for name, task in self.tasks.items()
        }
        return {TOTAL: self.weights(detection, losses), DETECTION: detection, **losses, **scores}

    def follow(self, history: Sequence[Mapping[str, float]]) -> None:
        """Set the weights that follow from the records of the epochs so far."""
        keys = {DETECTION: "detection_loss"} | {name: _loss_key(name) for name in self.tasks}
        before = [{name: each[key] for name, key in keys.items()} for each in history[-2:]]
        self.weights.follow(before, DETECTION)

    def record(self, losses: dict[str, float]) -> dict[str, float]:
        """The mean losses of an epoch as `metrics.jsonl` has them, with the weights.

        Learned weights are those after it.
        """
        alphas = self.weights.alphas()
        record = {
            "loss": losses.pop(TOTAL),
            "detection_loss": losses.pop(DETECTION),
            _loss_key(RECONSTRUCT): losses.pop(RECONSTRUCT, 0.0),
            "alpha": alphas.pop(RECONSTRUCT, 0.0),
        }
        record |= {_loss_key(name): loss for name, loss in losses.items()}
        return record | {f"{name}_alpha": alpha for name, alpha in alphas.items()}

    def run(self, arrays: Mapping[str, Tensor], *, with_tasks: bool) -> SedOutput:
        """What the network computes of clips, with the tasks' predictions.

        Args:
            arrays: By name, standardised.
            with_tasks: Whether the tasks take part.
        """
        inputs = [arrays[name] for name in self._inputs]
        reconstruct = with_tasks and RECONSTRUCT in self.tasks
        reads_stages = any(task.reads_stages for task in self.tasks.values())
        stages = {"with_stages": True} if with_tasks and reads_stages else {}
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=self.in_bfloat16):
            output: SedOutput = self.network(*inputs, reconstruct=reconstruct, **stages)
            if with_tasks:
                predicted = {name: task(output) for name, task in self.tasks.items()}
                output = output._replace(tasks=predicted)
        return output


def _loss_key(task: str) -> str:
    """Name of a task's loss in the record of an epoch; the paper's task has the paper's word."""
    return "reconstruction_loss" if task == RECONSTRUCT else f"{task}_loss"
