"""The multi-task loss: its terms and their weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error

from sedmtl.models import SedOutput
from sedmtl.models.autoencoder import TwoStepAttentionSettings
from sedmtl.training.batches import Batch
from sedmtl.training.losses import Objective
from sedmtl.training.tasks.reconstruct import Reconstruct
from sedmtl.training.weights import TaskWeights


def losses_of(clip, target, logmel, reconstruction=None, alpha=0.01, log_variance=None):
    """The losses for these clip scores and, if given, this reconstruction."""
    empty = torch.empty(0)
    tasks = {} if reconstruction is None else {"reconstruct": reconstruction}
    output = SedOutput(clip, empty, empty, tasks=tasks)
    heads = {name: Reconstruct(TwoStepAttentionSettings(), None) for name in tasks}
    weights = dict.fromkeys(tasks, alpha)
    objective = Objective(torch.nn.Identity(), heads, weights, in_bfloat16=False)
    if log_variance is not None:
        objective.weights.log_variance = log_variance
    batch = Batch(torch.arange(len(clip)), {"logmel": logmel}, target)
    return objective.losses(output, batch)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    clip = torch.rand(6, 4, generator=generator)
    target = (torch.rand(6, 4, generator=generator) < 0.5).float()
    logmel = torch.randn(6, 10, 8, generator=generator)
    reconstruction = torch.rand(6, 10, 8, generator=generator)
    return clip, target, logmel, reconstruction


def test_the_loss_is_cross_entropy_plus_alpha_times_squared_error(batch):
    clip, target, logmel, reconstruction = batch
    loss = losses_of(*batch)
    detection = np.mean(
        [log_loss(t, p.double(), labels=[0, 1]) for t, p in zip(target, clip, strict=True)]
    )
    error = mean_squared_error(logmel.flatten(), reconstruction.flatten())
    assert loss["detection"].item() == pytest.approx(detection, rel=1e-6)
    assert loss["reconstruct"].item() == pytest.approx(error, rel=1e-6)
    assert loss["total"].item() == pytest.approx(detection + 0.01 * error, rel=1e-6)


def test_without_a_task_only_detection_is_left(batch):
    loss = losses_of(*batch[:3])
    assert loss.keys() == {"total", "detection"}
    assert loss["total"].item() == loss["detection"].item()


def test_scores_a_rounding_error_outside_of_0_and_1_are_clamped(batch):
    clip = torch.tensor([[1 + 1e-6, -1e-6]])
    assert losses_of(clip, torch.tensor([[1.0, 0.0]]), batch[2])["total"].item() == 0


def test_low_precision_scores_are_compared_in_float32(batch):
    clip, target, logmel, reconstruction = batch
    low = losses_of(clip.bfloat16(), target, logmel, reconstruction.bfloat16(), 1.0)
    assert {part.dtype for part in low.values()} == {torch.float32}


def test_a_score_that_is_nan_gives_a_loss_that_is_nan(batch):
    clip = torch.tensor([[0.5, float("nan")]])
    assert losses_of(clip, torch.tensor([[1.0, 0.0]]), batch[2])["total"].isnan()


def test_a_share_without_clips_has_no_loss_and_finite_gradients(batch):
    """A process's share of a small batch may be empty; an empty mean would be NaN."""
    clip, target, logmel, reconstruction = (each[:0].requires_grad_() for each in batch)
    learned = torch.nn.Parameter(torch.zeros(2))
    loss = losses_of(clip, target.detach(), logmel.detach(), reconstruction, "auto", learned)
    (0 * loss["total"]).backward()
    assert [part.item() for part in loss.values()] == [0, 0, 0]
    assert learned.grad.tolist() == [0, 0]


def test_a_learned_weight_is_kendalls_formula(batch):
    learned = torch.nn.Parameter(torch.tensor([0.3, -0.7]))
    loss = losses_of(*batch, "auto", learned)
    variance = np.exp([0.3, -0.7])
    expected = (
        loss["detection"].item() / variance[0]
        + loss["reconstruct"].item() / (2 * variance[1])
        + np.log(variance).sum() / 2
    )
    assert loss["total"].item() == pytest.approx(expected, rel=1e-6)
    weights = TaskWeights({"reconstruct": "auto"}, {"reconstruct": 0.5})
    weights.log_variance = learned
    expected = pytest.approx(variance[0] / (2 * variance[1]), rel=1e-6)
    assert weights.alphas()["reconstruct"] == expected


def test_fixed_and_learned_weights_can_be_combined():
    """Two tasks with learned variances, one of them a classification, and a fixed weight."""
    scales = {"a": 0.5, "b": 0.5, "c": 1.0}
    weights = TaskWeights({"a": "auto", "b": 0.1, "c": "auto"}, scales)
    with torch.no_grad():
        weights.log_variance.copy_(torch.log(torch.tensor([2.0, 4.0, 8.0])))
    losses = dict(zip("abc", torch.tensor([3.0, 5.0, 7.0]), strict=True))
    total = weights(torch.tensor(1.0), losses)
    expected = 1 / 2 + 3 / 4 / 2 + 7 / 8 + np.log(64) / 2 + 0.1 * 5
    assert total.item() == pytest.approx(expected, rel=1e-6)
    assert weights.alphas() == pytest.approx({"a": 2 / 4 / 2, "b": 0.1, "c": 2 / 8}, rel=1e-6)


def test_the_learned_variances_are_least_where_they_equal_the_losses():
    """L1 / s + log(s) / 2 is least at s = 2 L1, L2 / (2 s) + log(s) / 2 at s = L2."""
    learned = TaskWeights({"reconstruct": "auto"}, {"reconstruct": 0.5})
    detection, reconstruction = torch.tensor(0.2), torch.tensor(1.5)
    with torch.no_grad():
        learned.log_variance.copy_(torch.log(torch.tensor([2 * 0.2, 1.5])))
    learned(detection, {"reconstruct": reconstruction}).backward()
    np.testing.assert_allclose(learned.log_variance.grad, 0, atol=1e-6)
