"""The network compared with values from the reference code, and its claimed properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sedmtl.models import build_model, count_parameters
from sedmtl.models.attention_step import AttentionStep
from sedmtl.models.blocks import ConvBlock
from sedmtl.models.pooling import GlobalAverage, GlobalMaximum, GlobalWeightedRank
from sedmtl.models.registry import TABLE_IV, settings_class
from sedmtl.models.two_step_attention import TwoStepAttention
from sedmtl.runtime.errors import SedmtlError
from sedmtl.training.batches import Batch
from sedmtl.training.losses import Objective
from sedmtl.training.tasks.reconstruct import Reconstruct

N_CLASSES, N_FRAMES, N_MELS, WIDTH = 5, 23, 16, 2


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "data" / "networks.npz") as file:
        return {key: torch.from_numpy(np.array(file[key])) for key in file}


def golden_network(golden, name):
    """A network with the reference's weights, which are stored in the order of definition."""
    network = build_model(name, N_CLASSES, N_FRAMES, N_MELS, WIDTH)
    weights = [value for key, value in golden.items() if key.startswith(f"{name}/weights/")]
    names = list(network.state_dict())
    assert len(names) == len(weights)
    network.load_state_dict(dict(zip(names, weights, strict=True)))
    return network


def golden_output(golden, name):
    with torch.no_grad():
        return golden_network(golden, name).eval()(golden["input"])


def assert_near(ours, reference):
    torch.testing.assert_close(ours, reference, rtol=0, atol=1e-5)


FIELDS = ("clip", "frame", "class_map", "mel_attention", "time_attention", "reconstruction")


@pytest.mark.parametrize("field", FIELDS)
def test_every_output_of_2apae_equals_the_reference(golden, field):
    output = golden_output(golden, "2apae")
    assert_near(getattr(output, field), golden[f"2apae/eval/{field}"])


@pytest.mark.parametrize("name", TABLE_IV)
def test_clip_scores_equal_the_reference(golden, name):
    assert_near(golden_output(golden, name).clip, golden[f"{name}/eval/clip"])


@pytest.mark.parametrize("name", ["gap", "gmp", "gwrp"])
def test_masks_equal_the_reference(golden, name):
    mask = golden_output(golden, name).class_map.sigmoid()
    assert_near(mask, golden[f"{name}/eval/mask"])


@pytest.mark.parametrize("name", TABLE_IV)
def test_five_adam_steps_have_the_losses_of_the_reference(golden, name):
    network = golden_network(golden, name).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    settings = settings_class(name)()
    tasks = {task: Reconstruct(settings, None) for task in settings.task_modules}
    objective = Objective(network, tasks, dict.fromkeys(tasks, 0.001), in_bfloat16=False)
    batch = Batch(torch.arange(len(golden["input"])), {"logmel": golden["input"]}, golden["target"])
    losses = []
    for _ in range(5):
        loss = objective(batch)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses, golden[f"{name}/train/losses"].numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [("2apae", 1_967_366), ("gap", 587_593), ("gmp", 587_593), ("gwrp", 587_593),
     ("atrous", 1_047_570)],
)  # fmt: skip
def test_the_paper_size_has_the_papers_number_of_parameters(name, n_parameters):
    assert count_parameters(build_model(name, 41, 311, 64)) == n_parameters


@pytest.mark.parametrize("name", TABLE_IV[1:])
def test_a_benchmark_takes_any_sizes_and_has_no_decoder(name):
    output = build_model(name, 3, 19, 9, 2)(torch.randn(2, 19, 9))
    assert output.clip.shape == (2, 3)
    assert output.frame.shape == (2, 3, 19)
    assert output.class_map.shape == (2, 3, 19, 9)
    assert output.reconstruction is output.mel_attention is output.time_attention is None
    assert not settings_class(name).task_modules
    for scores in (output.clip, output.frame):
        assert ((scores >= 0) & (scores <= 1)).all()


def test_gap_and_gmp_are_mean_and_maximum():
    mask = torch.rand(2, 3, 5, 4)
    assert_near(GlobalAverage()(mask), mask.flatten(2).mean(-1))
    assert_near(GlobalMaximum()(mask), mask.flatten(2).max(-1).values)


@pytest.mark.parametrize(("decay", "limit"), [(1.0, GlobalAverage()), (0.0, GlobalMaximum())])
def test_weighted_rank_pooling_lies_between_average_and_maximum(decay, limit):
    mask = torch.rand(2, 3, 5, 4)
    assert_near(GlobalWeightedRank(20, decay)(mask), limit(mask))
    between = GlobalWeightedRank(20, 0.8)(mask)
    assert ((between > GlobalAverage()(mask)) & (between < GlobalMaximum()(mask))).all()


def test_weighted_rank_pooling_weighs_the_kth_largest_by_r_to_the_k():
    values = torch.tensor([0.1, 0.9, 0.4, 0.6]).reshape(1, 1, 2, 2)
    expected = (0.9 + 0.5 * 0.6 + 0.25 * 0.4 + 0.125 * 0.1) / (1 + 0.5 + 0.25 + 0.125)
    assert GlobalWeightedRank(4, 0.5)(values).item() == pytest.approx(expected)


def test_rank_weights_are_a_buffer_that_no_checkpoint_holds():
    network = build_model("gwrp", 2, 10, 8, 2)
    assert "pooling.weights" in dict(network.named_buffers())
    assert "pooling.weights" not in network.state_dict()


def test_atrous_attention_never_scores_above_a_half():
    with torch.no_grad():
        clip = build_model("atrous", 3, 30, 8, 4)(20 * torch.randn(16, 30, 8)).clip
    assert (clip <= 0.5).all()


def test_a_linear_end_lets_the_reconstruction_be_negative():
    torch.manual_seed(0)
    x = torch.randn(3, 20, 8)
    linear = build_model("2apae", 2, 20, 8, 2, reconstruction="linear")
    assert (linear(x).reconstruction < 0).any()
    relu = build_model("2apae", 2, 20, 8, 2)
    assert list(relu.state_dict()) == list(linear.state_dict())


@pytest.mark.parametrize("attention", ["released", "equations"])
@pytest.mark.parametrize(
    ("n_classes", "n_frames", "n_mels", "width"), [(1, 7, 4, 1), (9, 40, 24, 3)]
)
def test_shapes_follow_from_the_sizes(attention, n_classes, n_frames, n_mels, width):
    network = build_model("2apae", n_classes, n_frames, n_mels, width, attention=attention)
    output = network(torch.randn(2, n_frames, n_mels))
    assert output.clip.shape == (2, n_classes)
    assert output.frame.shape == output.time_attention.shape == (2, n_classes, n_frames)
    assert output.class_map.shape == output.mel_attention.shape == (2, n_classes, n_frames, n_mels)
    assert output.reconstruction.shape == (2, n_frames, n_mels)


@pytest.mark.parametrize("time_attention", ["dense", "local"])
@pytest.mark.parametrize("attention", ["released", "equations"])
def test_attention_sums_to_one_and_scores_are_probabilities(attention, time_attention):
    network = build_model("2apae", 3, 31, 8, 2, attention=attention, time_attention=time_attention)
    with torch.no_grad():
        output = network(10 * torch.randn(4, 31, 8))
    torch.testing.assert_close(output.mel_attention.sum(-1), torch.ones(4, 3, 31))
    torch.testing.assert_close(output.time_attention.sum(-1), torch.ones(4, 3))
    for scores in (output.clip, output.frame, output.gated):
        assert ((scores >= 0) & (scores <= 1)).all()


def test_the_released_step_is_a_weighted_mean_of_sigmoids():
    step = AttentionStep(6, "released").double()
    z = torch.randn(2, 3, 6, dtype=torch.float64)
    cla = 1 / (1 + torch.exp(-(z @ step.classification.weight.T + step.classification.bias)))
    att = torch.exp(z @ step.attention.weight.T + step.attention.bias)
    att = att / att.sum(-1, keepdim=True)
    summary, weights = step(z)
    torch.testing.assert_close(weights, att)
    torch.testing.assert_close(summary, (cla * att).sum(-1))


def test_the_equations_step_has_its_sigmoid_inside_the_softmax():
    step = AttentionStep(6, "equations").double()
    z = torch.randn(2, 3, 6, dtype=torch.float64)
    cla = z @ step.classification.weight.T + step.classification.bias  # equation 9
    squashed = 1 / (1 + torch.exp(-(z @ step.attention.weight.T + step.attention.bias)))  # 8
    att = torch.exp(squashed) / torch.exp(squashed).sum(-1, keepdim=True)  # 10
    summary, weights = step(z)
    torch.testing.assert_close(weights, att)
    torch.testing.assert_close(summary, (cla * att).sum(-1))  # 11


def test_weights_of_the_equations_differ_by_no_more_than_a_factor_of_e():
    """The sigmoid bounds the logits to (0, 1), so this attention cannot be sharp."""
    _, weights = AttentionStep(50, "equations")(100 * torch.randn(8, 50))
    assert (weights.amax(-1) / weights.amin(-1)).max() <= np.e + 1e-4


def test_only_the_equations_need_the_clamp():
    class_map = 50 * torch.randn(4, 3, 20, 8)
    torch.manual_seed(0)
    released = TwoStepAttention(3, 20, 8, "released", "dense")
    unclamped = released.over_time(released.over_mels(class_map).summary).summary
    torch.testing.assert_close(unclamped, released(class_map).clip)
    equations = TwoStepAttention(3, 20, 8, "equations", "dense")
    unclamped = equations.over_time(equations.over_mels(class_map).summary).summary
    assert (unclamped < 0).any()
    assert (equations(class_map).clip >= 0).all()


def test_a_reconstruction_is_never_negative():
    output = build_model("2apae", 2, 20, 8, 2)(torch.randn(3, 20, 8))
    assert (output.reconstruction >= 0).all()


def test_without_reconstruction_the_decoder_is_not_run():
    network = build_model("2apae", 2, 20, 8, 2).eval()
    calls = []
    network.decoder.register_forward_hook(lambda *_: calls.append(1))
    x = torch.randn(1, 20, 8)
    with torch.no_grad():
        full, short = network(x), network(x, reconstruct=False)
    assert short.reconstruction is None
    assert len(calls) == 1
    torch.testing.assert_close(short.clip, full.clip, rtol=0, atol=0)


def test_the_pooling_counts_its_padding():
    """At a corner of a map of ones, 4 of the 9 averaged values are ones."""
    pooled = ConvBlock(1, 1).pool(torch.ones(1, 1, 4, 4))
    np.testing.assert_allclose(pooled[0, 0, 0].numpy(), np.array([4, 6, 6, 4]) / 9, rtol=1e-6)


def test_biases_begin_at_zero_and_convolutions_within_the_bound_of_he():
    network = build_model("2apae", 5, 30, 8, 4)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
    weight = network.encoder[1].conv2.weight.detach()
    bound = np.sqrt(6 / (weight.shape[1] * 9))
    assert 0.9 * bound < weight.abs().max() <= bound


def test_an_unknown_network_is_named_with_the_known_ones():
    with pytest.raises(SedmtlError, match=r"2apa.*2apae"):
        build_model("2apa", 1, 1, 1)
