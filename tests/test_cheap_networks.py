"""The cheap networks: sizes, costs, poolings, and every command with them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from sedmtl.models import build_model, count_parameters
from sedmtl.models.time_pooling import TimePooling, at_logmel_frames
from sedmtl.runtime.errors import SedmtlError
from tests.conftest import COARSE_YAML, Project, write_project

CHEAP = ("pooled", "crnn")
FORMS = ("local", "linear", "attention")


def gflop(name, device):
    with torch.device(device):
        network, logmel = build_model(name, 41, 311, 64).eval(), torch.zeros(1, 311, 64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(logmel, reconstruct=False)
    return counter.get_total_flops() / 1e9


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CHEAP)
@pytest.mark.parametrize(("n_frames", "n_mels"), [(4, 16), (31, 16), (64, 40), (311, 64)])
def test_scores_are_probabilities_on_the_frames_of_the_log_mel(name, form, n_frames, n_mels):
    network = build_model(name, 3, n_frames, n_mels, 2, time_pooling=form).eval()
    with torch.no_grad():
        output = network(10 * torch.randn(2, n_frames, n_mels))
    assert output.clip.shape == (2, 3)
    assert output.frame.shape == (2, 3, n_frames)
    for scores in (output.clip, output.frame):
        assert ((scores >= 0) & (scores <= 1)).all()
    torch.testing.assert_close(output.time_attention.sum(-1), torch.ones(2, 3))


@pytest.mark.parametrize("name", CHEAP)
def test_a_network_built_for_one_length_takes_any_other(name):
    network = build_model(name, 3, 40, 16, 2).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 97, 16)).frame.shape == (1, 3, 97)


@pytest.mark.parametrize(("n_frames", "n_mels"), [(3, 64), (40, 3)])
@pytest.mark.parametrize("name", CHEAP)
def test_sizes_of_which_pooling_leaves_nothing_are_refused(name, n_frames, n_mels):
    with pytest.raises(SedmtlError, match=rf"4 frames and 4 mel bins, found {n_frames} and"):
        build_model(name, 3, n_frames, n_mels, 2)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_dropout_outside_its_range_is_refused(dropout):
    with pytest.raises(SedmtlError, match="dropout should be from 0 to below 1"):
        build_model("pooled", 3, 40, 16, 2, dropout=dropout)


@pytest.mark.slow
def test_the_cheap_networks_cost_a_fraction_of_the_papers():
    paper = gflop("2apae", "meta")  # tensors without data
    assert gflop("pooled", "meta") < paper / 60
    assert gflop("crnn", "cpu") < paper / 25  # a recurrent layer needs data


@pytest.mark.parametrize(("name", "most"), [("pooled", 500_000), ("crnn", 1_100_000)])
def test_the_cheap_networks_are_small(name, most):
    assert count_parameters(build_model(name, 41, 311, 64)) < most


@pytest.mark.parametrize(("n_frames", "n_mels"), [(40, 16), (41, 37)])
def test_pooled_reconstructs_the_whole_log_mel_only_on_request(n_frames, n_mels):
    network = build_model("pooled", 3, n_frames, n_mels, 2).eval()
    logmel = torch.randn(2, n_frames, n_mels)
    with torch.no_grad():
        assert network(logmel).reconstruction.shape == logmel.shape
        assert network(logmel, reconstruct=False).reconstruction is None


def test_the_band_attention_of_pooled_sums_to_one_over_four_bands():
    with torch.no_grad():
        output = build_model("pooled", 3, 40, 64, 2).eval()(torch.randn(2, 40, 64))
    assert output.mel_attention.shape == output.class_map.shape == (2, 3, 20, 4)
    torch.testing.assert_close(output.mel_attention.sum(-1), torch.ones(2, 3, 20))


def test_a_later_sound_moves_the_scores_of_pooled_and_nothing_else():
    """No layer knows positions: a shift by whole pooled frames shifts the output."""
    network = build_model("pooled", 3, 200, 16, 2).eval()
    early, late = torch.zeros(2, 1, 200, 16)
    early[:, 60:80] = 3
    late[:, 100:120] = 3
    with torch.no_grad():
        a, b = network(early), network(late)
    torch.testing.assert_close(a.frame[..., 40:120], b.frame[..., 80:160])
    torch.testing.assert_close(a.clip, b.clip)


def test_linear_softmax_weighs_presences_by_themselves():
    presence = torch.rand(2, 3, 20)
    _, (clip, _) = TimePooling(4, 3, "linear")(presence, torch.randn(2, 4, 20))
    torch.testing.assert_close(clip, presence.square().sum(-1) / presence.sum(-1))


def test_attention_pooling_is_a_weighted_mean_with_weights_from_the_features():
    pooling, presence = TimePooling(4, 3, "attention"), torch.rand(2, 3, 20)
    features = torch.randn(2, 4, 20)
    weight, bias = pooling.attention.weight[..., 0], pooling.attention.bias
    logits = torch.einsum("cd,bdt->bct", weight, features) + bias[:, None]
    expected = (torch.softmax(logits, -1) * presence).sum(-1)
    torch.testing.assert_close(pooling(presence, features)[1].summary, expected)


@pytest.mark.parametrize("n_frames", [20, 21])
def test_scores_between_pooled_frames_are_linear(n_frames):
    ramp = torch.arange(10.0).reshape(1, 1, 10)  # centres at 0.5, 2.5, … log-mel frames
    fine = at_logmel_frames(ramp, n_frames)[0, 0].numpy()
    expected = np.interp(np.arange(n_frames), 0.5 + 2 * np.arange(10), np.arange(10.0))
    np.testing.assert_allclose(fine, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_network_learns_which_half_of_the_bins_is_loud(name):
    torch.manual_seed(0)
    network = build_model(name, 2, 24, 16, 4)
    target = torch.eye(2).repeat(8, 1)
    logmel = torch.randn(16, 24, 16)
    logmel[:, :, :8] += 2 * target[:, :1, None]
    logmel[:, :, 8:] += 2 * target[:, 1:, None]
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(40):
        loss = torch.nn.functional.binary_cross_entropy(network(logmel).clip, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert ((network.eval()(logmel).clip > 0.5) == target.bool()).all()


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """A project after every command was run with crnn.

    test_demo and test_heads do it with pooled, which the strong recipe trains.
    """
    # Few frames, because the exporter unrolls the recurrent layer: 124 take 17 s.
    few = COARSE_YAML.replace("512", "1024")
    project = Project(write_project(tmp_path_factory.mktemp("explored"), few))
    clip = project.work / "mixtures" / "snr_20" / "mix_01.wav"
    stores = (("mix", "--snr", 20, "--stems", "--wav", 1), ("features",))
    commands = (
        ("train", "--fold", 1, "--model", "crnn", "--width", 2, "--epochs", 1, "--name", "run"),
        ("predict", clip, "--out", project.folder / "annotations"),
        ("visualize", clip, "--out", project.folder / "clip.png"),
        ("visualize", clip, "--out", project.folder / "clip.html", "--html"),
        ("separate", clip),
        ("export", "run"),
        ("eval", "--json", project.folder / "rows.json", "--separation"),
    )
    for command in (*stores, *commands):
        result = project.run(*command)
        assert result.exit_code == 0, (command, result.output)
    return project


@pytest.mark.usefixtures("one_registry")
@pytest.mark.slow
def test_every_command_takes_a_cheap_network(explored):
    run = explored.work / "runs" / "run"
    assert yaml.safe_load((run / "run.yaml").read_text())["time_pooling"] == "local"
    assert (run / "model.onnx").is_file()
    for written in ("clip.png", "clip.html", "annotations/events.tsv"):
        assert (explored.folder / written).stat().st_size
    rows = json.loads((explored.folder / "rows.json").read_text())["rows"]
    (row, *_) = [row for row in rows if row["model"] == "crnn"]
    assert 0 <= row["micro_p"] <= 1


@pytest.mark.parametrize(
    ("n_mels", "n_bands"), [(4, 1), (16, 4), (32, 4), (40, 5), (64, 4), (128, 8)]
)
def test_four_bands_are_left_to_attend_to_where_there_are_sixteen_mel_bins(n_mels, n_bands):
    output = build_model("pooled", 3, 40, n_mels, 2).eval()(torch.randn(1, 40, n_mels))
    assert output.mel_attention.shape[-1] == n_bands
