from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error

from sedmtl.models import SedOutput
from sedmtl.training.losses import Uncertainty, multitask_loss


def output_of(clip, reconstruction=None):
    empty = torch.empty(0)
    tasks = {} if reconstruction is None else {"reconstruction": reconstruction}
    return SedOutput(clip, empty, empty, tasks=tasks)


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
    loss = multitask_loss(output_of(clip, reconstruction), target, logmel, alpha=0.01)
    detection = np.mean(
        [log_loss(t, p.double(), labels=[0, 1]) for t, p in zip(target, clip, strict=True)]
    )
    error = mean_squared_error(logmel.flatten(), reconstruction.flatten())
    assert loss.detection.item() == pytest.approx(detection, rel=1e-6)
    assert loss.reconstruction.item() == pytest.approx(error, rel=1e-6)
    assert loss.total.item() == pytest.approx(detection + 0.01 * error, rel=1e-6)


def test_without_a_reconstruction_only_detection_is_left(batch):
    clip, target, logmel, _ = batch
    loss = multitask_loss(output_of(clip), target, logmel, alpha=0.01)
    assert loss.total.item() == loss.detection.item()
    assert loss.reconstruction.item() == 0


def test_scores_a_rounding_error_outside_of_0_and_1_are_clamped(batch):
    _, _, logmel, _ = batch
    clip = torch.tensor([[1 + 1e-6, -1e-6]])
    loss = multitask_loss(output_of(clip), torch.tensor([[1.0, 0.0]]), logmel, alpha=0)
    assert loss.total.item() == 0


def test_low_precision_scores_are_compared_in_float32(batch):
    clip, target, logmel, reconstruction = batch
    low = output_of(clip.bfloat16(), reconstruction.bfloat16())
    assert {part.dtype for part in multitask_loss(low, target, logmel, 1.0)} == {torch.float32}


def test_a_score_that_is_no_number_gives_a_loss_that_is_none(batch):
    _, _, logmel, _ = batch
    clip = torch.tensor([[0.5, float("nan")]])
    loss = multitask_loss(output_of(clip), torch.tensor([[1.0, 0.0]]), logmel, alpha=0)
    assert loss.total.isnan()


def test_a_share_without_clips_has_no_loss_and_finite_gradients(batch):
    """A process may have none of a small batch; a mean over nothing would be NaN."""
    clip, target, logmel, reconstruction = (each[:0].requires_grad_() for each in batch)
    alpha = Uncertainty()
    loss = multitask_loss(output_of(clip, reconstruction), target.detach(), logmel.detach(), alpha)
    (0 * loss.total).backward()
    assert [part.item() for part in loss] == [0, 0, 0]
    assert alpha.log_variance.grad.tolist() == [0, 0]


def test_a_learned_weight_is_kendalls_formula(batch):
    clip, target, logmel, reconstruction = batch
    learned = Uncertainty()
    with torch.no_grad():
        learned.log_variance.copy_(torch.tensor([0.3, -0.7]))
    loss = multitask_loss(output_of(clip, reconstruction), target, logmel, learned)
    variance = np.exp([0.3, -0.7])
    expected = (
        loss.detection.item() / variance[0]
        + loss.reconstruction.item() / (2 * variance[1])
        + np.log(variance).sum() / 2
    )
    assert loss.total.item() == pytest.approx(expected, rel=1e-6)
    assert learned.alpha.item() == pytest.approx(variance[0] / (2 * variance[1]), rel=1e-6)


def test_the_learned_variances_are_least_where_they_equal_the_losses():
    """d/ds of L1 / s + log(s) / 2 vanishes at s = 2 L1, of L2 / (2 s) + log(s) / 2 at s = L2."""
    learned = Uncertainty()
    detection, reconstruction = torch.tensor(0.2), torch.tensor(1.5)
    with torch.no_grad():
        learned.log_variance.copy_(torch.log(torch.tensor([2 * 0.2, 1.5])))
    learned(detection, reconstruction).backward()
    np.testing.assert_allclose(learned.log_variance.grad, 0, atol=1e-6)
