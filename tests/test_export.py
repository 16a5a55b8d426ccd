"""`sedmtl export`: onnxruntime gives the detector's scores, and the metadata explain them."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import soundfile
import torch
from conftest import Project, visible

import sedmtl
from sedmtl.config import EncoderFile
from sedmtl.data.audio import conform, read
from sedmtl.features.encoder import Encoder
from sedmtl.inference.checkpoint import load_model
from sedmtl.inference.detector import Detector
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.onnx import OPSET, ClipEncoder, build_graph, to_onnx
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.logmel import n_frames
from sedmtl.models.registry import settings_class

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_registry")]

RUN = "2apae_snr20_fold1_alpha0.001_seed0"
GUIDE = Path(sedmtl.__file__).parents[1] / "docs" / "embedding.md"


def card_of(model, window=256, **options):
    """The card of a network for 0.5 s clips at 8 kHz."""
    return ModelCard(
        network=settings_class(model)(2, **options),
        n_frames=n_frames(4000, window, 128), n_mels=8,
        classes=("dog", "Glöckchen", "rain"), sample_rate=8000, n_samples=4000,
        features={"window": window, "hop": 128, "n_mels": 8, "f_min": 50.0, "f_max": 4000.0},
        mean=tuple(np.linspace(-6, -4, 8).tolist()), std=tuple(np.linspace(1, 2, 8).tolist()),
        postprocessing=PostProcessing((0.25, 0.5, 0.75), low=0.5, median_s=0.4, gated=True),
        tag_threshold=(0.3, 0.6, 0.9), training={"alpha": 0.001, "precision": "float32"},
    )  # fmt: skip


def network_of(card):
    """An untrained network whose batch norm statistics match its weights."""
    torch.manual_seed(1)
    network = card.build_network().train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches, here the next one
    with torch.no_grad():
        network(3 * torch.randn(4, card.n_frames, card.n_mels))
    return network.eval()


def open_graph(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def facts_of(session):
    return session.get_modelmeta().custom_metadata_map


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """The output folder of the command."""
    folder = tmp_path_factory.mktemp("onnx")
    result = trained.run("export", RUN, "--out", folder / "detector.onnx")
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize(
    "card",
    [
        card_of("2apae", time_attention="local", attention="equations"),
        card_of("gap", window=200),  # not a power of two: another transform in onnxruntime
        card_of("gmp"),
        card_of("gwrp"),
        card_of("atrous"),
    ],
    ids=lambda card: "-".join([card.model, *card.network.variant, str(card.features["window"])]),
)
def test_onnxruntime_scores_as_the_detector_does(card):
    network = network_of(card)
    detector = Detector(card, network)  # first: changes the weights' layout
    assert_same_scores(build_graph(card, network, "run"), detector)


def test_the_file_of_a_run_scores_as_its_detector_does(trained, written):
    detector = Detector.load(trained.work / "runs" / RUN)
    assert_same_scores((written / "detector.onnx").read_bytes(), detector)


def assert_same_scores(content, detector):
    """For any number of clips at any level, including silence."""
    session, card = open_graph(content), detector.card
    rng = np.random.default_rng(2)
    levels = np.array([[1.0], [1e-3], [1e-41]])  # the last gives denormal numbers
    noise = (levels * rng.normal(size=(3, card.n_samples))).astype(np.float32)
    silence = np.zeros((1, card.n_samples), np.float32)
    found = []
    for waveforms in (noise[:1], noise, silence):
        clip, frame = session.run(["clip", "frame"], {"waveform": waveforms})
        conformed = np.stack([conform(each, card.n_samples) for each in waveforms])
        expected_clip, expected_frame = detector.network.score_windows(conformed)
        # Rounding accounts for 2e-6.
        np.testing.assert_allclose(clip, expected_clip, atol=1e-5)
        np.testing.assert_allclose(frame, expected_frame, atol=1e-5)
        found.append(frame)
    assert np.abs(found[0] - found[2]).max() > 0.01, "noise and silence should differ"


def test_there_is_one_file_and_it_is_valid(written):
    (path,) = (written / name for name in visible(written))
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param
    assert not batch.dim_value


def test_the_decoder_is_not_exported(trained, written):
    _, network = load_model(trained.work / "runs" / RUN)
    names = {each.name for each in onnx.load(written / "detector.onnx").graph.initializer}
    assert any("encoder" in name for name in names)
    assert any("decoder" in name for name in network.state_dict())
    assert not any("decoder" in name for name in names)


def test_nothing_of_the_machine_is_in_the_file(written):
    content = (written / "detector.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path.home()).encode() not in content


def test_by_default_the_same_bytes_are_written_into_the_run_folder_and_only_the_path_is_printed(
    trained, written, tmp_path, capfd, caplog
):
    shutil.copytree(trained.work / "runs" / RUN, tmp_path / "work" / "runs" / RUN)
    shutil.copy(trained.folder / "data.yaml", tmp_path)
    result = Project(tmp_path).run("export", RUN)
    path = tmp_path / "work" / "runs" / RUN / "model.onnx"
    assert (result.stdout, result.stderr) == (f"{path}\n", "")
    assert capfd.readouterr() == ("", "")
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert path.read_bytes() == (written / "detector.onnx").read_bytes()


def test_the_metadata_explain_the_scores(trained, written):
    card, _ = load_model(trained.work / "runs" / RUN)
    facts = facts_of(open_graph((written / "detector.onnx").read_bytes()))
    assert facts["run"] == RUN
    assert facts["sedmtl_version"] == sedmtl.__version__
    assert tuple(json.loads(facts["classes"])) == card.classes
    assert int(facts["sample_rate"]) == 8000
    assert int(facts["n_samples"]) == 16_000
    assert float(facts["hop_s"]) == 128 / 8000
    assert float(facts["first_edge_s"]) == 64 / 8000
    assert tuple(json.loads(facts["tag_threshold"])) == card.tag_threshold
    settings = json.loads(facts["postprocessing"])
    settings["threshold"] = tuple(settings["threshold"])
    assert PostProcessing(**settings) == card.postprocessing


def script_of_the_guide():
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    (script,) = (block for block in blocks if "onnxruntime" in block)
    return script


def test_the_script_of_the_guide_finds_what_the_detector_finds(trained, written, tmp_path):
    """For a file at another sample rate than the network's."""
    card, network = load_model(trained.work / "runs" / RUN)
    waveform, _ = soundfile.read(trained.work / "mixtures" / "snr_20" / "mix_01.wav")
    soundfile.write(tmp_path / "clip.wav", waveform, 11_025)
    waveform = read(tmp_path / "clip.wav", card.sample_rate)
    conformed = conform(waveform, card.n_samples)[None]
    (clip,), _ = Detector(card, network).network.score_windows(conformed)
    # Two of the three classes exceed their threshold.
    card = replace(card, tag_threshold=tuple((clip + np.array([-0.01, 0.01, -0.01])).tolist()))
    model = onnx.load(written / "detector.onnx")
    (threshold,) = (fact for fact in model.metadata_props if fact.key == "tag_threshold")
    threshold.value = json.dumps(card.tag_threshold)
    onnx.save(model, tmp_path / "model.onnx")
    found = subprocess.run(
        [sys.executable, "-c", script_of_the_guide()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {(label, f"{score:.2f}") for label, score in card.tags(clip)}
    assert len(expected) == 2
    assert {tuple(line.split()[1::-1]) for line in found.stdout.splitlines()} == expected
    assert found.stderr == ""


def test_without_onnxscript_one_sentence_says_what_to_install(
    trained, tmp_path, one_sentence, monkeypatch
):
    monkeypatch.setitem(sys.modules, "onnxscript.optimizer", None)
    result = trained.run("export", RUN, "--out", tmp_path / "model.onnx")
    one_sentence(result, "onnxscript", "pip install 'sedmtl[onnx]'")
    assert not list(tmp_path.iterdir())


def test_a_graph_that_scores_otherwise_is_not_written(trained, tmp_path, one_sentence, monkeypatch):
    """As GRUs did that onnxscript 0.7.0 exported."""

    def spoil(model):
        weights = next(each for each in model.graph.initializers.values() if each.shape.rank() == 4)
        weights.const_value = onnx_ir.tensor(-weights.const_value.numpy(), name=weights.name)

    monkeypatch.setattr("onnxscript.optimizer.fold_constants_ir", spoil)
    result = trained.run("export", RUN, "--out", tmp_path / "model.onnx")
    one_sentence(result, "'clip' of the graph", "expected at most 0.01", "onnxscript 0.")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "parts"), [("2apae", ("no run '2apae'", RUN)), ("stopped", ("no trained network",))]
)
def test_only_a_finished_run_is_exported(project: Project, trained, one_sentence, name, parts):
    runs = project.work / "runs"
    shutil.copytree(trained.work / "runs" / RUN, runs / RUN)
    (runs / "stopped").mkdir()
    shutil.copy(runs / RUN / "run.yaml", runs / "stopped")
    one_sentence(project.run("export", name), *parts)


def test_an_unwritable_path_is_one_sentence(trained, tmp_path, one_sentence, monkeypatch):
    monkeypatch.setattr("sedmtl.inference.onnx.build_graph", lambda *_: b"")
    (tmp_path / "file").touch()
    one_sentence(trained.run("export", RUN, "--out", tmp_path / "file" / "x.onnx"), "cannot write")


def test_a_runs_own_encoder_is_a_file_that_features_accepts(tmp_path):
    card = card_of("pooled")
    network = network_of(card)
    detector = Detector(card, network)  # first: changes the weights' layout
    stated = {"sample_rate": "8000", "window_s": "0.5", "input": "waveform"}
    path = tmp_path / "encoder.onnx"
    path.write_bytes(
        to_onnx(ClipEncoder(card, network), {"waveform": (4000,)}, ["vectors"], stated)
    )
    clip = conform(np.random.default_rng(1).normal(size=4000).astype(np.float32), 4000)
    frames = Encoder.open(EncoderFile(onnx=path, dtype="float32"), path).frames(clip, 8000)
    computed = detector.network.activations(*detector.network.inputs(clip[None]))
    encoded = computed.encoded[0].mean(dim=-1).T
    np.testing.assert_allclose(frames, encoded.numpy(), atol=1e-5)
