"""The multi-task loss (paper, equations 7 and 17), with fixed or learned weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models import SedOutput
from sedmtl.models.bag import highest
from sedmtl.training.batches import Batch
from sedmtl.training.known import PRESENCE, at_scores
from sedmtl.training.tasks import RECONSTRUCT
from sedmtl.training.tasks.task import Task
from sedmtl.training.weights import TaskWeights, Weight

TOTAL, DETECTION = "total", "detection"

CLIP = "clip"
"""Not a loss: key of the clip scores (W, C) of multi-window recordings, for `Bags.remember`."""


def detection_loss(
    clip: Tensor, target: Tensor, reduction: str, weight: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of scores (B, C, …) in [0, 1] and targets of 0 and 1."""
    clip = clip.float().clamp(0, 1)
    # On a GPU, a NaN in binary_cross_entropy trips a device assertion that ends the process. This
    # way it becomes a NaN loss, which the loop reports.
    loss = F.binary_cross_entropy(clip.nan_to_num(0.5), target, weight, reduction=reduction)
    return loss + 0 * clip.detach().sum()


def over_clips(loss: Tensor, which: Tensor | None) -> Tensor:
    """Mean over clips of the mean over their rows: (W, …) -> scalar; a scalar is returned as is.

    Every clip counts the same, however the batch is divided among processes.
    """
    if which is None:
        return loss
    n_rows = which.bincount(minlength=1)
    weights = 1 / (n_rows[which] * len(n_rows))
    return (weights * loss.unsqueeze(-1).flatten(1).mean(dim=1)).sum()


class Objective(nn.Module):
    """A network with its tasks and losses: one module that holds all trainable parameters.

    Args:
        network: The network to train.
        tasks: Auxiliary tasks by name.
        weights: Weight of each task, or the rule that sets it.
        in_bfloat16: Whether to compute convolutions and dense layers in bfloat16.
        inputs: Names of the network's input arrays.
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
        """Names of the losses, in the order of `forward`."""
        return (TOTAL, DETECTION, *self.tasks)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses of a batch, by name; the network's inputs must be standardised."""
        return self.losses(self.run(batch.arrays, with_tasks=True), batch)

    def losses(self, output: SedOutput, batch: Batch) -> dict[str, Tensor]:
        """The losses `parts` of an output for a batch; for multi-window recordings also `CLIP`."""
        # A process may get no clip of a batch: an empty sum is 0, an empty mean NaN.
        reduction = "mean" if len(batch.target) else "sum"
        clip, of_rows = output.clip, reduction
        scores: dict[str, Tensor] = {}
        if batch.which is not None:
            clip = highest(output.clip.float(), batch.which, len(batch.target))
            of_rows, scores = "none", {CLIP: output.clip.detach()}
        detection = detection_loss(clip, batch.target, reduction, batch.weight)
        if PRESENCE in batch.arrays:
            presence = at_scores(batch.arrays[PRESENCE].float(), output.frame.shape[-1])
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
        """Update the weights that depend on the records of past epochs."""
        keys = {DETECTION: "detection_loss"} | {name: _loss_key(name) for name in self.tasks}
        before = [{name: each[key] for name, key in keys.items()} for each in history[-2:]]
        self.weights.follow(before, DETECTION)

    def record(self, losses: dict[str, float]) -> dict[str, float]:
        """Mean losses of an epoch with the task weights, under the keys of `metrics.jsonl`.

        Learned weights are those after the epoch.
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
        """Run the network, and its tasks if `with_tasks`.

        Args:
            arrays: Standardised arrays by name.
            with_tasks: Whether to compute the tasks' predictions.
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
    """Key of a task's loss in an epoch's record; reconstruction keeps the paper's term."""
    return "reconstruction_loss" if task == RECONSTRUCT else f"{task}_loss"
