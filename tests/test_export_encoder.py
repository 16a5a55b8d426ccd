"""`sedmtl export` of networks on a frozen encoder, inside or outside the file."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from encoder_files import N_DIMS, WEIGHTS, write_onnx, write_tflite

from sedmtl.config import EncoderFile
from sedmtl.data.audio import conform, resample
from sedmtl.features.encoder import Encoder
from sedmtl.inference.detector import Detector
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.onnx import build_graph
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.logmel import n_frames
from sedmtl.models.registry import settings_class

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_registry")]

RATE = 8_000
NOISE = np.random.default_rng(0).normal(size=(3, 4_000)).astype(np.float32)


def opened(path, **settings):
    section = EncoderFile.model_validate({path.suffix[1:]: path, "sample_rate": RATE, **settings})
    return Encoder.open(section, path)


def card_of(model, encoder, rate=RATE, **options):
    """The card of a network for 0.5 s clips."""
    n_samples = rate // 2
    options = {} if model == "probe" else {"width": 2, **options}
    return ModelCard(
        network=settings_class(model)(**options),
        n_frames=n_frames(n_samples, 256, 128), n_mels=8, classes=("dog", "rain"),
        sample_rate=rate, n_samples=n_samples,
        features={"window": 256, "hop": 128, "n_mels": 8, "f_min": 50.0, "f_max": 4000.0},
        mean=(-5.0,) * 8, std=(2.0,) * 8, postprocessing=PostProcessing((0.5, 0.5)),
        tag_threshold=(0.5, 0.5), training={"alpha": 0, "precision": "float32"},
        encoder=encoder.card, frames_mean=(1.0,) * N_DIMS, frames_std=(9.0,) * N_DIMS,
    )  # fmt: skip


def network_of(card):
    torch.manual_seed(1)
    network = card.build_network()
    for parameter in network.parameters():  # a probe starts at 0
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def session_of(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


FILES = {
    "one window at a time, older operators, an output in half precision": (
        {"batch": 1, "n_samples": 400, "opset": 11, "dtype": onnx.TensorProto.FLOAT16},
        {},
    ),
    "frames of overlapping windows, an output in double precision": (
        {"dtype": onnx.TensorProto.DOUBLE},
        {"hop_s": 0.15, "dtype": "float32"},
    ),
    "an inner tensor of overlapping windows, operators by their other name": (
        {"n_samples": 400, "domain": "ai.onnx", "opset": 17},
        {"output": "odd", "hop_s": 0.03},
    ),
    "a window longer than the clip, newer operators": ({"n_samples": 6_000, "opset": 20}, {}),
}


@pytest.mark.parametrize(("written", "how"), FILES.values(), ids=FILES)
def test_one_file_scores_as_the_detector_does(tmp_path, written, how, caplog, capfd):
    kind = "mixing" if "output" in how else ""
    encoder = opened(write_onnx(tmp_path / "e.onnx", kind=kind, **written), **how)
    n_dims = encoder.card.n_dims
    card = replace(
        card_of("probe", encoder), frames_mean=(1.0,) * n_dims, frames_std=(9.0,) * n_dims
    )
    network = network_of(card)
    session = session_of(build_graph(card, network, "run", encoder=encoder))
    warned = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert (warned, capfd.readouterr().err) == ([], "")
    detector = Detector(card, network, encoder=encoder)
    for waveforms in (NOISE[:1], NOISE, 0 * NOISE[:1]):
        clip, frame = session.run(["clip", "frame"], {"waveform": waveforms})
        conformed = np.stack([conform(each, card.n_samples) for each in waveforms])
        wanted_clip, wanted_frame = detector.network.score_windows(conformed)
        # The last bit of float32 may decide a step of float16.
        np.testing.assert_allclose(clip, wanted_clip, atol=2e-4)
        np.testing.assert_allclose(frame, wanted_frame, atol=2e-4)


def test_an_encoder_may_have_operators_of_onnxruntime_alone(tmp_path):
    value = onnx.helper.make_tensor_value_info
    weights = onnx.numpy_helper.from_array(WEIGHTS, "weights")
    node = onnx.helper.make_node(
        "FusedMatMul", ["waveform", "weights"], ["vector"], domain="com.microsoft"
    )
    shapes = [value("waveform", 1, ["B", 400])], [value("vector", 1, ["B", N_DIMS])]
    graph = onnx.helper.make_graph([node], "e", *shapes, [weights])
    imports = [onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=9)
    onnx.save(model, tmp_path / "e.onnx")
    encoder = opened(tmp_path / "e.onnx", dtype="float32")
    card = card_of("probe", encoder)
    network = network_of(card)
    session = session_of(build_graph(card, network, "run", encoder=encoder))
    (clip,) = session.run(["clip"], {"waveform": NOISE})
    conformed = np.stack([conform(each, card.n_samples) for each in NOISE])
    wanted, _ = Detector(card, network, encoder=encoder).network.score_windows(conformed)
    np.testing.assert_allclose(clip, wanted, atol=1e-5)


@pytest.mark.parametrize("model", ["gru", "crnn"])
def test_other_networks_have_it_inside_too(tmp_path, model):
    encoder = opened(write_onnx(tmp_path / "e.onnx", 400))
    card = card_of(model, encoder, **({} if model == "gru" else {"join_frames": True}))
    n_samples = 1_600  # four frames: the exporter takes time for each step of a GRU
    card = replace(card, n_samples=n_samples, n_frames=n_frames(n_samples, 256, 128))
    network = network_of(card)
    detector = Detector(card, network, encoder=encoder)  # first: changes the weights' layout
    session = session_of(build_graph(card, network, "run", encoder=encoder))
    noise = NOISE[:, :n_samples]
    (clip,) = session.run(["clip"], {"waveform": noise})
    conformed = np.stack([conform(each, n_samples) for each in noise])
    np.testing.assert_allclose(clip, detector.network.score_windows(conformed)[0], atol=2e-4)


LOGMELS = {
    "db": (("B", 1, "T", 16), {"power": 1, "log": "db", "norm": "none", "floor": 1e-5}),
    "log10": (("B", 16, "T"), {"log": "log10", "centred": False, "mean": -2.0, "std": 3.0}),
}


@pytest.mark.parametrize(("shape", "logmel"), LOGMELS.values(), ids=LOGMELS)
def test_the_log_mel_that_an_encoder_takes_is_in_the_file(tmp_path, shape, logmel):
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("ReduceMean", ["mel"], ["vector"], axes=[-1], keepdims=0)
    graph = onnx.helper.make_graph(
        [node], "e", [value("mel", 1, list(shape))], [value("vector", 1, None)]
    )
    imports = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "e.onnx"
    )
    settings = {"window": 256, "hop": 125, "n_mels": 16, "f_max": 4_000.0, **logmel}
    how = {"input": "logmel", "logmel": settings, "window_s": 0.25, "dtype": "float32"}
    encoder = opened(tmp_path / "e.onnx", **how)
    n_dims = encoder.card.n_dims
    card = replace(
        card_of("probe", encoder), frames_mean=(0.0,) * n_dims, frames_std=(9.0,) * n_dims
    )
    network = network_of(card)
    session = session_of(build_graph(card, network, "run", encoder=encoder))
    (clip,) = session.run(["clip"], {"waveform": NOISE})
    conformed = np.stack([conform(each, 4_000) for each in NOISE])
    wanted, _ = Detector(card, network, encoder=encoder).network.score_windows(conformed)
    np.testing.assert_allclose(clip, wanted, atol=1e-4)


def test_with_an_encoder_of_another_rate_the_waveform_has_the_encoders_rate(tmp_path):
    encoder = opened(write_onnx(tmp_path / "e.onnx", 400), licence="for tests")
    card = card_of("probe", encoder, rate=16_000)
    network = network_of(card)
    content = build_graph(card, network, "run", encoder=encoder)
    session = session_of(content)
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["sample_rate"], facts["n_samples"]) == ("8000", "4000")
    about = json.loads(facts["encoder"])
    assert (about["name"], about["licence"], about["is_inside"]) == ("e.onnx", "for tests", True)
    assert about["sha256"] == encoder.card.sha256
    assert str(tmp_path).encode() not in content
    t = np.arange(8_000) / 16_000
    wave = conform(np.sin(2 * np.pi * (300 + 500 * t) * t).astype(np.float32), 8_000)
    slower = resample(wave, 16_000, RATE, "the clip")
    (clip,) = session.run(["clip"], {"waveform": slower[None]})
    wanted, _ = Detector(card, network, encoder=encoder).network.score_windows(wave[None])
    np.testing.assert_allclose(clip, wanted, atol=1e-2)  # scaled to the peak after resampling


@pytest.mark.parametrize("model", ["probe", "pooled"])
def test_without_the_encoder_the_input_is_its_frames(tmp_path, model):
    encoder = opened(write_tflite(tmp_path / "e.tflite"))
    card = card_of(model, encoder, **({} if model == "probe" else {"join_frames": True}))
    network = network_of(card)
    detector = Detector(card, network, encoder=encoder)
    session = session_of(build_graph(card, network, "run"))
    about = json.loads(session.get_modelmeta().custom_metadata_map["encoder"])
    assert (about["name"], about["is_inside"]) == ("e.tflite", False)
    conformed = np.stack([conform(each, 4_000) for each in NOISE])
    frames = np.stack([encoder.frames(each, RATE) for each in conformed]).astype(np.float32)
    given = {"frames": frames} | ({"waveform": NOISE} if model == "pooled" else {})
    clip, frame = session.run(["clip", "frame"], given)
    wanted_clip, wanted_frame = detector.network.score_windows(conformed)
    np.testing.assert_allclose(clip, wanted_clip, atol=1e-5)
    np.testing.assert_allclose(frame, wanted_frame, atol=1e-5)
