"""Unusable encoder files are refused in one sentence; log-mels as encoder input."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from encoder_files import WEIGHTS, write_onnx, write_tflite

from sedmtl.config import EncoderFile, EncoderLogMel
from sedmtl.features.encoder import Encoder, open_encoder
from sedmtl.features.encoder.spectrogram import EncoderSpectrogram, mel_filters
from sedmtl.runtime.errors import SedmtlError

RATE = 8_000
LOGMEL = {"window": 256, "hop": 128, "n_mels": 16, "f_max": 4_000.0}


def opened(path, kind=None, **settings):
    kind = kind or path.suffix[1:]
    section = EncoderFile.model_validate({kind: path, "sample_rate": RATE, **settings})
    return Encoder.open(section, path)


def refused(path, *parts, kind=None, **settings):
    with pytest.raises(SedmtlError) as caught:
        opened(path, kind, **settings)
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


@pytest.mark.parametrize(("kind", "name"), [("onnx", "ONNX"), ("tflite", "TensorFlow Lite")])
@pytest.mark.parametrize("content", [b"", b"no model at all", b"\0" * 64])
def test_a_file_that_is_not_a_model_is_refused(tmp_path, kind, name, content):
    path = tmp_path / f"e.{kind}"
    path.write_bytes(content)
    refused(path, f"{path} is no {name} model")


def test_a_damaged_model_is_refused(tmp_path):
    for path in (write_onnx(tmp_path / "e.onnx"), write_tflite(tmp_path / "e.tflite")):
        path.write_bytes(path.read_bytes()[:200])
        refused(path, "is no ")
    refused(path, "it is damaged or incomplete")
    path.write_bytes(write_tflite(path).read_bytes()[:8] + bytes(200))
    refused(path, "it is damaged or incomplete")


def test_a_missing_file_and_a_folder_are_named_with_the_key(tmp_path):
    path = tmp_path / "e.onnx"
    with pytest.raises(SedmtlError, match=r"cannot read the encoder .*features\.encoder"):
        open_encoder(EncoderFile(onnx=path), path)
    (tmp_path / "d.tflite").mkdir()
    refused(tmp_path / "d.tflite", "cannot read the encoder")


def test_a_file_of_the_other_runtime_says_which_key_is_meant(tmp_path):
    refused(write_tflite(tmp_path / "a"), "features.encoder.tflite", kind="onnx")
    refused(write_onnx(tmp_path / "b"), "features.encoder.onnx", kind="tflite")


def test_an_output_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    refused(write_onnx(tmp_path / "e.onnx"), "no output 'vector'", "vectors", output="vector")
    refused(write_tflite(tmp_path / "e.tflite"), "no output 'x'", "twice, vectors", output="x")


def test_one_of_several_outputs_must_be_chosen(tmp_path):
    path = write_onnx(tmp_path / "e.onnx", outputs=("vectors", "levels"))
    refused(path, "2 outputs (vectors, levels)", "features.encoder.output")
    assert opened(path, output="levels").card.n_dims == 400


def test_missing_metadata_are_requested_by_key(tmp_path):
    path = write_onnx(tmp_path / "e.onnx", "N")
    refused(path, "features.encoder.window_s")
    refused(path, "features.encoder.sample_rate", sample_rate=None)
    refused(write_onnx(tmp_path / "f.onnx"), "2000 samples, 0.25 s", "found 1", window_s=1.0)


def test_axes_that_cannot_be_filled_are_shown(tmp_path):
    path = write_onnx(tmp_path / "e.onnx")
    model = onnx.load(path)
    for name in ("x", "y"):
        model.graph.input[0].type.tensor_type.shape.dim.add().dim_param = name
    onnx.save(model, path)
    refused(path, "should be a waveform", "(?, 2000, ?, ?)")


def test_operators_outside_onnx_are_refused(tmp_path):
    refused(write_onnx(tmp_path / "e.onnx", domain="my.own"), "the operator Abs of my.own")


def test_weights_beside_the_file_count_and_weights_elsewhere_are_refused(tmp_path):
    path = write_onnx(tmp_path / "model" / "e.onnx")
    inside = opened(path).card
    model = onnx.load(path)
    where = {"save_as_external_data": True, "size_threshold": 100}
    onnx.save(model, path, location="weights.bin", **where)
    beside = opened(path)
    noise = np.random.default_rng(2).normal(size=4_000).astype(np.float32)
    levels = np.abs(noise.reshape(-1, 400)) @ WEIGHTS
    np.testing.assert_allclose(beside.frames(noise, RATE), levels, rtol=1e-3, atol=1e-2)
    assert beside.card.sha256 != inside.sha256
    weights = tmp_path / "model" / "weights.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    refused(path, "weights.bin in the same folder, are cut short")
    weights.write_bytes(whole)
    weights.rename(tmp_path / "outside.bin")
    refused(path, "weights.bin in the same folder, are missing")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../outside.bin" if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())
    refused(path, "outside its folder")
    (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "outside.bin")
    onnx.save(onnx.load(path, load_external_data=False), path)
    refused(path, "outside its folder")


def test_an_encoder_that_gives_nan_is_refused_and_one_that_overflows_says_what_to_do(tmp_path):
    refused(write_onnx(tmp_path / "e.onnx", gain=np.inf), "NaN or infinity")
    path = write_onnx(tmp_path / "f.onnx", gain=1e5)
    refused(path, "beyond what float16 holds", "features.encoder.dtype to float32")
    assert opened(path, dtype="float32").rounding == 0


def test_silence_that_gives_nan_is_found_at_opening(tmp_path):
    refused(write_onnx(tmp_path / "e.onnx", kind="logarithm"), "NaN or infinity for silence")


def test_a_hop_is_a_sample_at_least_and_a_window_at_most(tmp_path):
    path = write_onnx(tmp_path / "e.onnx", 400)
    for hop_s in (1e-5, 0.06):
        refused(
            path, "at least one sample, 0.00013 s, and at most the window's 0.05 s", hop_s=hop_s
        )


def test_a_name_in_the_file_is_listed_once(tmp_path):
    with pytest.raises(SedmtlError) as caught:
        opened(write_onnx(tmp_path / "e.onnx"), output="vector")
    assert str(caught.value).partition("here: ")[2] == "vectors, levels, frames"


def test_clips_of_a_lower_rate_than_the_encoders_are_refused(tmp_path):
    with pytest.raises(SedmtlError, match=r"takes 8000 Hz: mixing.sample_rate .* found 4000"):
        opened(write_onnx(tmp_path / "e.onnx")).check_rate(4_000)


def test_a_file_other_than_the_runs_is_refused_with_the_runs_path(tmp_path):
    known = opened(write_onnx(tmp_path / "known.onnx")).card
    moved = (tmp_path / "known.onnx").rename(tmp_path / "moved.onnx")
    assert Encoder.reopen(known, moved).card.is_same(known)
    other = write_onnx(tmp_path / "other.onnx", gain=2.0)
    with pytest.raises(SedmtlError, match=r"is not the run's encoder: .*known\.onnx"):
        Encoder.reopen(known, other)


def test_a_hop_that_is_no_multiple_of_a_frame_is_refused(tmp_path):
    refused(write_onnx(tmp_path / "e.onnx"), "hop_s should be a multiple of 0.05", hop_s=0.07)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_gpu_is_used_if_onnxruntime_has_one(tmp_path, monkeypatch, on_gpu):
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider"] * on_gpu
    asked, new_session = [], onnxruntime.InferenceSession

    def on_the_cpu(source, options, providers):
        asked.append(providers)
        return new_session(source, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [*available, "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    opened(write_onnx(tmp_path / "e.onnx"))
    assert asked == [[*["CUDAExecutionProvider"] * on_gpu, "CPUExecutionProvider"]]


def test_opening_and_running_write_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (write_onnx(tmp_path / "e.onnx"), write_tflite(tmp_path / "e.tflite")):
        before = path.read_bytes()
        opened(path).frames(np.zeros(4_000, np.float32), RATE)
        assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["e.onnx", "e.tflite"]


# Encoders that take a log-mel


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", "none"])
def test_mel_filters_are_those_of_torchaudio(scale, norm):
    torchaudio = pytest.importorskip("torchaudio", exc_type=(ImportError, OSError))
    settings = EncoderLogMel(**LOGMEL, mel_scale=scale, norm=norm)
    wanted = torchaudio.functional.melscale_fbanks(
        129, 0.0, 4_000.0, 16, RATE, None if norm == "none" else norm, scale
    )
    found = mel_filters(settings, 256, RATE)
    # float32 there, float64 here, at slopes of up to 1 per 30 Hz
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("power", [1, 2])
def test_a_log_mel_is_that_of_torchaudio(centred, power):
    torchaudio = pytest.importorskip("torchaudio", exc_type=(ImportError, OSError))
    settings = EncoderLogMel(**LOGMEL, power=power, norm="none", mel_scale="htk", centred=centred)
    waveform = np.random.default_rng(3).normal(size=(2, 2_000)).astype(np.float32)
    spectrogram = EncoderSpectrogram(settings, RATE)
    found = spectrogram(waveform)
    reference = torchaudio.transforms.MelSpectrogram(
        RATE, 256, hop_length=128, f_max=4_000.0, n_mels=16, power=power, center=centred
    )
    wanted = np.log(reference(torchaudio.functional.gain(_tensor(waveform), 0)).numpy() + 1e-10)
    assert found.shape[1] == spectrogram.n_frames(2_000)
    np.testing.assert_allclose(found, wanted.swapaxes(1, 2), atol=1e-3)


def test_decibels_and_scaling_are_of_the_same_level():
    plain, scaled = (
        EncoderSpectrogram(EncoderLogMel(**LOGMEL, log=log, mean=mean, std=std), RATE)
        for log, mean, std in (("log10", 0.0, 1.0), ("db", -20.0, 10.0))
    )
    waveform = np.random.default_rng(4).normal(size=(1, 1_000)).astype(np.float32)
    np.testing.assert_allclose(scaled(waveform), plain(waveform) + 2, atol=1e-5)


def _tensor(values):
    import torch

    return torch.from_numpy(values)


@pytest.mark.parametrize("shape", [("B", 1, "T", 16), ("B", 16, "T"), (1, "T", 16, 1)])
def test_a_log_mel_is_fed_in_the_inputs_layout(tmp_path, shape):
    """The encoder averages over time, so its vector shows which axis was taken as time."""
    time = shape.index("T")
    axes = onnx.numpy_helper.from_array(np.array([time]), "axes")
    node = onnx.helper.make_node("ReduceMean", ["mel", "axes"], ["vector"], keepdims=0)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "e", [value("mel", 1, list(shape))], [value("vector", 1, None)], [axes]
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9
    )
    onnx.save(model, tmp_path / "e.onnx")
    how = {"input": "logmel", "logmel": LOGMEL, "window_s": 0.25, "dtype": "float32"}
    encoder = opened(tmp_path / "e.onnx", **how)
    windows = np.random.default_rng(6).normal(size=(3, 2_000)).astype(np.float32)
    wanted = EncoderSpectrogram(EncoderLogMel(**LOGMEL), RATE)(windows).mean(axis=1)
    np.testing.assert_allclose(encoder.frames(windows.ravel(), RATE), wanted, atol=1e-4)
    refused(
        tmp_path / "e.onnx", "log-mel of 17 bins", **{**how, "logmel": {**LOGMEL, "n_mels": 17}}
    )
    short = {**how, "window_s": 0.016}
    refused(tmp_path / "e.onnx", "longer than half an FFT, 128 samples, found 128", **short)
