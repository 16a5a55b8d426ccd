from __future__ import annotations

import numpy as np
import pytest
import torch

from sedmtl.models import build_model
from sedmtl.models.local_step import LocalStep


@pytest.fixture
def presence():
    """Random presences (B, C, T) between 0.01 and 0.99."""
    return 0.01 + 0.98 * torch.rand(4, 3, 50, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("k", [0.3, 1.0, 4.0])
def test_the_odds_of_the_clip_are_the_power_mean_of_the_frames_odds(presence, k):
    values = presence.double().numpy()
    mean = np.mean((values / (1 - values)) ** k, axis=-1) ** (1 / k)
    _, (summary, _) = LocalStep(3, k, n_around=1)(presence)
    np.testing.assert_allclose(summary.detach().numpy(), mean / (1 + mean), rtol=1e-4)


def test_the_clip_lies_between_its_lowest_and_highest_frame(presence):
    presence, (summary, _) = LocalStep(3)(presence)
    assert (summary >= presence.amin(-1)).all()
    assert (summary <= presence.amax(-1)).all()


def test_a_sharp_step_takes_the_maximum(presence):
    _, (summary, _) = LocalStep(3, 300.0, n_around=1)(presence)
    torch.testing.assert_close(summary, presence.amax(-1), atol=5e-3, rtol=0)


def test_more_presence_in_any_frame_never_lowers_the_clip(presence):
    presence.requires_grad_()
    LocalStep(3)(presence)[1].summary.sum().backward()
    assert (presence.grad > 0).all()


def test_weights_are_the_derivatives_by_the_logits_of_the_frames(presence):
    logit = torch.logit(presence).double().requires_grad_()
    step = LocalStep(3, 2.0, n_around=1).double()
    _, (summary, weights) = step(logit.sigmoid())
    torch.logit(summary).sum().backward()
    torch.testing.assert_close(logit.grad.float(), weights.float(), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 3, dtype=weights.dtype))


def test_the_position_of_a_frame_does_not_matter(presence):
    step = LocalStep(3, n_around=1)
    shuffled = presence[..., torch.randperm(50, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(step(presence)[1].summary, step(shuffled)[1].summary)


def test_presence_averages_the_logits_of_the_frames_around(presence):
    frame, _ = LocalStep(3, n_around=5)(presence)
    logit = torch.logit(presence).numpy()
    for t in (0, 1, 20, 49):
        around = logit[..., max(t - 2, 0) : t + 3].mean(axis=-1)
        np.testing.assert_allclose(torch.logit(frame[..., t]).numpy(), around, atol=1e-4)


def test_the_same_sound_later_is_the_same_presence_later(presence):
    """Except for the frames at the ends."""
    step = LocalStep(3)
    (early, _), (late, _) = step(presence[..., :40]), step(presence[..., 10:])
    torch.testing.assert_close(early[..., 17:33], late[..., 7:23])


def test_certainty_stays_finite_and_can_be_learned_from():
    presence = torch.tensor([[[0.0, 1.0, 0.5]]], requires_grad=True)
    _, (summary, weights) = LocalStep(1)(presence)
    summary.sum().backward()
    assert torch.isfinite(summary).all()
    assert torch.isfinite(weights).all()
    assert torch.isfinite(presence.grad).all()


def test_a_network_with_the_local_step_takes_any_length_and_the_paper_s_does_not():
    x = torch.randn(2, 45, 8)
    output = build_model("2apae", 3, 20, 8, 2, time_attention="local")(x)
    assert output.frame.shape == (2, 3, 45)
    assert output.reconstruction.shape == (2, 45, 8)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        build_model("2apae", 3, 20, 8, 2)(x)


def test_the_local_step_replaces_almost_all_parameters_of_the_dense_one():
    dense = build_model("2apae", 41, 311, 64, 1)
    local = build_model("2apae", 41, 311, 64, 1, time_attention="local")
    n_dense, n_local = (sum(p.numel() for p in n.parameters()) for n in (dense, local))
    assert n_dense - n_local == 2 * 311 * 312 - 41
