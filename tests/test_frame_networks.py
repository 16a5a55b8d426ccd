"""Networks on the frames of a frozen encoder: probe, gru; pooled and crnn with frames joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import Project, invoke, write_tone
from encoder_files import N_DIMS, N_STEP, write_onnx

import sedmtl
from sedmtl.data import audio
from sedmtl.data.grid import Grid
from sedmtl.features.encoder import encoder
from sedmtl.inference import onnx
from sedmtl.inference.checkpoint import load_card, load_model
from sedmtl.inference.detector import Detector
from sedmtl.logmel import Standardiser
from sedmtl.models import build_model
from sedmtl.models.frame_input import FrameInput
from sedmtl.models.registry import plain_settings, read_settings
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store, read_scores
from sedmtl.training.config import TrainConfig
from sedmtl.training.state import load_state

RATE, SAMPLES = 8000, 8000
LOGMEL = Grid(RATE, SAMPLES, 61, 256, 128)
OF_TIME = {"coarse": 4.0, "fine": 200.0}
"""Frames of an encoder per second: fewer and more than the log-mel's 62.5."""


def input_of(rate_hz, n_dims=5):
    return FrameInput(n_dims, LOGMEL.first_edge_s * rate_hz, LOGMEL.hop_s * rate_hz)


@pytest.mark.parametrize("rate_hz", OF_TIME.values())
def test_scores_keep_their_time(rate_hz):
    """A ramp over the encoder's frames becomes one over the log-mel's, except at the ends."""
    centres = (torch.arange(round(rate_hz)) + 0.5) / rate_hz
    wanted = torch.from_numpy(LOGMEL.edges_s[:-1] + LOGMEL.hop_s / 2).float()
    found = input_of(rate_hz).resample(centres[None, None], 61)[0, 0]
    inside = (wanted > 0.5 / rate_hz + LOGMEL.hop_s) & (wanted < 1 - 0.5 / rate_hz - LOGMEL.hop_s)
    # A triangle over few off-centre frames is biased to one side: by 0.1 ms here.
    atol = 1e-6 if rate_hz < 60 else 2e-4
    torch.testing.assert_close(found[inside], wanted[inside], rtol=0, atol=atol)
    assert inside.sum() > 40


@pytest.mark.parametrize("n_pooled", [1, 2])
@pytest.mark.parametrize("rate_hz", OF_TIME.values())
def test_constants_over_time_stay_constant(rate_hz, n_pooled):
    ones = torch.ones(1, 2, round(rate_hz))
    found = input_of(rate_hz).resample(ones, 61 // n_pooled, n_pooled)
    torch.testing.assert_close(found, torch.ones(1, 2, 61 // n_pooled))


def test_a_longer_frame_is_a_mean_around_its_centre():
    values = torch.rand(1, 1, 12)
    in_step = FrameInput(1, 0.0, 1.0).resample(values, 4, 3)[0, 0]
    triangle = torch.tensor([1.0, 2, 3, 2, 1]) / 9
    torch.testing.assert_close(in_step[1], (values[0, 0, 2:7] * triangle).sum())


def test_the_local_step_averages_over_half_a_second_whatever_the_rate():
    assert [input_of(rate_hz).n_around(28) for rate_hz in (1.0, 4.0, 62.5)] == [1, 1, 29]


@pytest.mark.parametrize("pooling", ["local", "linear", "attention", "mean", "max"])
@pytest.mark.parametrize("name", ["probe", "gru"])
@pytest.mark.parametrize("rate_hz", OF_TIME.values(), ids=OF_TIME.keys())
def test_scores_are_over_the_log_mels_frames(name, pooling, rate_hz):
    torch.manual_seed(0)
    frames = 3 * torch.randn(2, round(rate_hz), 5)
    network = build_model(name, 3, 61, 16, frames=input_of(rate_hz), time_pooling=pooling)
    for parameter in network.parameters():  # a probe starts at 0
        torch.nn.init.normal_(parameter)
    output = network.eval()(frames)
    assert output.clip.shape == (2, 3)
    assert output.frame.shape == (2, 3, 61)
    assert output.class_map.shape == (2, 3, 61, 1)
    for each in (output.clip, output.frame):
        assert 0 <= each.min() <= each.max() <= 1
    torch.testing.assert_close(output.time_attention.sum(dim=-1), torch.ones(2, 3))


@pytest.mark.parametrize("name", ["probe", "gru"])
@pytest.mark.parametrize("rate_hz", [4.0, 62.5, 200.0, 1000.0])
def test_the_attention_of_a_maximum_is_at_its_frame_wherever_it_is(name, rate_hz):
    torch.manual_seed(0)
    n_frames = round(rate_hz)
    network = build_model(name, 1, 61, 16, frames=input_of(rate_hz), time_pooling="max").eval()
    head, highest = network.head, torch.eye(n_frames)
    head.layer = torch.nn.Identity()
    attention = head(5 * highest[:, :, None]).time_attention[:, 0]  # each frame in its turn
    torch.testing.assert_close(attention.sum(dim=-1), torch.ones(n_frames))
    found = (attention * torch.from_numpy(LOGMEL.edges_s[:-1] + LOGMEL.hop_s / 2)).sum(dim=-1)
    centres = (torch.arange(n_frames) + 0.5) / rate_hz
    assert (found - centres).abs().max() <= max(1 / rate_hz, 2 * LOGMEL.hop_s)


def test_the_attention_of_absent_classes_is_finite():
    network = build_model("probe", 3, 61, 16, frames=input_of(4.0), time_pooling="linear")
    torch.nn.init.constant_(network.head.layer.bias, -1e3)
    assert network.eval()(torch.zeros(2, 4, 5)).time_attention.isfinite().all()


def test_mean_and_maximum_are_those_of_the_presences():
    torch.manual_seed(0)
    frames = torch.randn(2, 4, 5)
    for pooling, of in (("mean", torch.mean), ("max", torch.amax)):
        network = build_model("probe", 3, 61, 16, frames=input_of(4.0), time_pooling=pooling)
        torch.nn.init.normal_(network.head.layer.weight)
        layer = network.eval().head.layer
        expected = of(torch.nn.functional.linear(frames, layer.weight).sigmoid(), dim=1)
        torch.testing.assert_close(network(frames).clip, expected)


def test_a_dimension_that_was_constant_in_training_does_not_affect_a_probe():
    network = build_model("probe", 2, 61, 16, frames=input_of(4.0), dropout=0.0)
    frames = torch.randn(8, 4, 5, generator=torch.Generator().manual_seed(0))
    frames[..., 2] = 0
    for _ in range(5):
        network.zero_grad()
        network(frames).clip.square().sum().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= parameter.grad
    strange = frames.clone()
    strange[..., 2] = 1e6
    torch.testing.assert_close(network(strange).clip, network(frames).clip)


@pytest.mark.parametrize("name", ["pooled", "crnn"])
@pytest.mark.parametrize("pooling", ["local", "attention"])
def test_joined_frames_affect_the_scores(name, pooling):
    torch.manual_seed(0)
    options = {"join_frames": True, "time_pooling": pooling, "dropout": 0.0}
    network = build_model(name, 3, 61, 16, width=2, frames=input_of(4.0), **options)
    frames = torch.randn(2, 4, 5, requires_grad=True)
    output = network(torch.randn(2, 61, 16), frames)
    assert output.frame.shape == (2, 3, 61)
    output.clip.sum().backward()
    assert frames.grad.abs().amax(dim=(0, 2)).gt(0).all()  # every frame is used


@pytest.mark.parametrize("name", ["pooled", "crnn"])
def test_a_network_without_joined_frames_is_unchanged(name):
    settings = read_settings({"model": name})
    assert "join_frames" not in plain_settings(settings)
    assert settings.inputs == ("logmel",)
    keys = build_model(name, 3, 61, 16, width=2).state_dict().keys()
    assert not [key for key in keys if "joined" in key or "frame" in key]
    joining = read_settings({"model": name, "join_frames": True})
    assert read_settings(plain_settings(joining)) == joining
    assert joining.variant == ["join_frames"]
    words = TrainConfig("snr_10", 1, joining).words()
    assert words[words.index("--join-frames") + 1].startswith("--")  # a flag


def test_a_constant_dimension_in_float16_is_only_centred():
    frames = np.random.default_rng(0).normal(size=(50, 7, 3)).astype(np.float16)
    frames[..., 1] = 0.1  # its mean in float64 is not exactly 0.1
    blocks = [frames[:13], frames[13:]]
    standardiser = Standardiser.fit(blocks)
    found = standardiser(torch.from_numpy(frames))
    assert found.dtype == torch.float32
    assert standardiser.std[1] == 1
    assert found[..., 1].abs().max() < 1e-6
    torch.testing.assert_close(found[..., 0].std(), torch.tensor(1.0), rtol=5e-3, atol=0)


DATA_YAML = """\
corpus: {clips: {csv: clips.csv, root: recordings}}
mixing: {sample_rate: 8000, duration_s: 1, folds: 2}
features: {window: 256, hop: 128, n_mels: 16, f_min: 50, f_max: 4000,
           encoder: {onnx: encoder.onnx, sample_rate: 8000}}
"""
TRAIN = ("train", "--fold", 1, "--epochs", 2, "--batch-size", 4, "--gpus", 0)


def write_clips(folder):
    """12 recordings of two classes, and a data.yaml with an encoder."""
    write_onnx(folder / "encoder.onnx")
    rows = ["filename,labels,fold,recording"]
    for n in range(12):
        write_tone(folder / "recordings" / f"{n}.wav", 300 + 900 * (n % 2) + n, 1.0)
        rows.append(f"{n}.wav,{'ab'[n % 2]},{1 + n // 2 % 2},{n}")
    (folder / "clips.csv").write_text("\n".join(rows))
    (folder / "data.yaml").write_text(DATA_YAML)
    return Project(folder)


@pytest.fixture(scope="module")
def framed(tmp_path_factory):
    """Trained networks that take frames."""
    project = write_clips(tmp_path_factory.mktemp("framed"))
    for arguments in (
        ("features",),
        (*TRAIN, "--model", "probe", "--model", "gru"),
        (*TRAIN, "--model", "pooled", "--width", 2, "--join-frames", "--alpha", 0),
    ):
        result = project.run(*arguments)
        assert result.exit_code == 0, result.output
    return project


RUNS = ("probe_clips_fold1_alpha0_seed0", "gru_clips_fold1_alpha0_seed0",
        "pooled_clips_fold1_alpha0_seed0_join_frames")  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
def test_prediction_gets_the_same_frames_as_training(framed, run):
    detector = Detector.load(framed.work / "runs" / run, encoder=framed.folder / "encoder.onnx")
    scores = read_scores(framed.work / "runs" / run / "scores.h5")
    with Store(framed.work / "features" / "clips.h5", "logmel", "frames") as store:
        rows = [store.clips.name.index(name) for name in scores.name]
        stored = store.read(np.array(rows), "frames")
    waves = np.stack(
        [
            audio.conform(audio.read(framed.folder / "recordings" / name, RATE), SAMPLES)
            for name in scores.name
        ]
    )
    made = detector.network.inputs(waves)[detector.card.network.inputs.index("frames")]
    np.testing.assert_array_equal(made.numpy(), stored.astype(np.float32))
    clip, frame = detector.network.score_windows(waves)
    np.testing.assert_allclose(clip, scores.score["honest"], atol=1e-5)
    assert frame.shape[-1] == detector.card.grid.n_frames == 61
    found = detector.predict(framed.folder / "recordings" / scores.name[0])
    # Other kernels compute a single clip than a batch.
    np.testing.assert_allclose(found.clip, scores.score["honest"][0], atol=1e-4)


def test_a_probe_has_no_encoding_of_its_own(framed):
    encoder = framed.folder / "encoder.onnx"
    probe, gru = (Detector.load(framed.work / "runs" / run, encoder=encoder) for run in RUNS[:2])
    wave = np.ones(SAMPLES, np.float32)
    with pytest.raises(SedmtlError, match=r"probe has no encoding .*sedmtl embed"):
        probe.embed(wave, RATE)
    assert gru.embed(wave, RATE).frame.shape == (61, gru.card.network.n_channels)


@pytest.mark.parametrize("run", [RUNS[0], RUNS[2]], ids=["alone", "joined"])
def test_the_standardiser_of_frames_never_saw_the_held_out_fold(framed, run):
    card = load_card(framed.work / "runs" / run)
    with Store(framed.work / "features" / "clips.h5", "logmel", "frames") as store:
        training = np.flatnonzero(store.clips.fold != 1)
        frames = store.read(training, "frames").reshape(-1, N_DIMS).astype(np.float64)
        assert store.shape_of("frames") == (SAMPLES // N_STEP, N_DIMS)
    np.testing.assert_allclose(card.frames_mean, frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(card.frames_std, frames.std(axis=0), rtol=1e-5)
    state = load_state(framed.work / "runs" / run)
    assert state["frames_standardiser"]["mean"].tolist() == pytest.approx(card.frames_mean)


def test_joined_training_teaches_what_joins_the_frames(framed):
    card, network = load_model(framed.work / "runs" / RUNS[2])
    torch.manual_seed(0)
    fresh, learned = card.build_network().state_dict(), network.state_dict()
    weight = next(key for key in learned if "joined" in key and key.endswith("layer.weight"))
    assert learned[weight].shape[1] == N_DIMS
    assert (learned[weight] - fresh[weight]).abs().min() > 0


def test_check_and_report_take_runs_on_an_encoder(framed):
    checked = invoke(["check", str(framed.work)])
    assert checked.exit_code == 0, checked.output
    reported = framed.run("report", *RUNS)
    assert reported.exit_code == 0, reported.output
    page = Path(reported.stdout.split()[-1]).read_text()
    assert all(run.split("_")[0] in page for run in RUNS)


@pytest.mark.usefixtures("one_registry")
def test_export_opens_the_encoder_of_data_yaml_and_says_what_is_inside(
    framed, tmp_path, monkeypatch
):
    given = []
    monkeypatch.setattr(onnx, "build_graph", lambda *all_of: given.extend(all_of) or b"graph")
    result = framed.run("export", RUNS[0], "--out", tmp_path / "a.onnx")
    assert result.exit_code == 0, result.output
    assert given[-1].card.is_same(load_card(framed.work / "runs" / RUNS[0]).encoder)
    assert "a.onnx holds the encoder encoder.onnx" in result.stderr
    assert "licence: not stated" in result.stderr


def test_a_replaced_encoder_is_refused_by_its_digest(framed, tmp_path, one_sentence):
    other = write_onnx(tmp_path / "encoder.onnx", gain=2.0)
    clip = framed.folder / "recordings" / "0.wav"
    where = ("--run", RUNS[0], "--out", tmp_path / "out", "--encoder", other)
    refused = framed.run("predict", clip, *where)
    one_sentence(refused, f"{other} is not the run's encoder", "expected SHA-256")
    assert not list(tmp_path.rglob("*.tsv"))


def test_a_recording_that_the_encoder_fails_on_is_named_and_the_others_are_done(
    framed, tmp_path, monkeypatch
):
    give = encoder.vectors_of

    def fail_above_zero(graph, layout, windows, axes):
        vectors = give(graph, layout, windows, axes)
        return vectors * np.nan if windows.min() > 0 else vectors

    monkeypatch.setattr(encoder, "vectors_of", fail_above_zero)
    for name in ("a", "c"):
        write_tone(tmp_path / f"{name}.wav", 300, 3.0)
    where = ("--run", RUNS[0], "--out", tmp_path / "out", "--threshold", 0)
    assert framed.run("predict", tmp_path, *where).exit_code == 0
    table = (tmp_path / "out" / "events.tsv").read_bytes()
    soundfile.write(tmp_path / "b.wav", np.full(3 * RATE, 0.3), RATE)
    (tmp_path / "out" / "journal.jsonl").unlink()
    failed = framed.run("predict", tmp_path, *where)
    assert failed.exit_code == 1
    said = f"the encoder encoder.onnx gives NaN or infinity (in {tmp_path / 'b.wav'})"
    assert failed.stderr.count(said) == 1
    assert "1 of 3 recordings cannot be used" in failed.stderr
    assert (tmp_path / "out" / "events.tsv").read_bytes() == table
    assert table.count(b"\n") > 2


def test_an_encoder_that_no_run_listens_through_is_refused(trained, framed, tmp_path, one_sentence):
    clip, file = framed.folder / "recordings" / "0.wav", framed.folder / "encoder.onnx"
    for command in ("predict", "visualize"):
        result = trained.run(command, clip, "--encoder", file, "--out", tmp_path / "out")
        one_sentence(result, f"would not use the encoder {file}", "leave the encoder out")
    (run,) = (trained.work / "runs").glob("2apae*")
    with pytest.raises(SedmtlError, match=f"{run.name} would not use the encoder"):
        sedmtl.load(run, encoder=file)


def test_a_run_is_tied_to_the_frames_that_it_learned_from(framed):
    settings = [yaml.safe_load((framed.work / "runs" / run / "run.yaml").read_text())
                for run in RUNS]  # fmt: skip
    assert len({each["frames_digest"] for each in settings}) == 1


def test_a_store_without_frames_is_refused_with_what_it_lacks(tmp_path, one_sentence):
    project = write_clips(tmp_path)
    without = DATA_YAML.partition(",\n           encoder")[0] + "}\n"
    (tmp_path / "data.yaml").write_text(without)
    assert project.run("features").exit_code == 0
    for model in (("probe",), ("crnn", "--join-frames")):
        result = project.run(*TRAIN, "--model", *model)
        one_sentence(result, "has no 'frames'", "features.encoder")


def test_remix_is_refused_because_frames_are_of_stored_audio(framed, one_sentence):
    result = framed.run(*TRAIN, "--model", "probe", "--remix")
    one_sentence(result, "probe takes an encoder's frames", "add --no-remix")


def test_only_an_encoder_of_its_own_can_be_kept_frozen(framed, one_sentence):
    result = framed.run(*TRAIN, "--model", "probe", "--from", RUNS[0], "--freeze-encoder")
    one_sentence(result, "and probe has none", "leave the option out")


def test_an_embedding_of_a_probe_is_refused_once_before_audio_is_read(framed, one_sentence):
    result = framed.run("embed", framed.folder / "none", "--out", "v.h5", "--run", RUNS[0])
    one_sentence(result, "probe has no encoding of its own")
    assert result.stderr.count("no encoding") == 1


def test_runs_that_listen_through_an_encoder_are_not_measured_against_stems(framed, one_sentence):
    for option in ("--separation", "--denoise"):
        one_sentence(framed.run("eval", RUNS[2], option), "nothing to measure with", option)


@pytest.mark.parametrize(("model", "is_opened"), [("probe", True), ("pooled", False)])
def test_a_dry_run_opens_the_encoder_only_for_networks_that_take_frames(
    tmp_path, one_sentence, model, is_opened
):
    project = write_clips(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(b"no model")
    result = project.run(*TRAIN, "--model", model, "--dry-run")
    if is_opened:
        one_sentence(result, "encoder.onnx is no ONNX model")
    else:
        assert "total: 1 of 1 runs" in result.stdout


def test_a_dry_run_needs_no_store(tmp_path):
    project = write_clips(tmp_path)
    result = project.run(*TRAIN, "--model", "probe", "--model", "gru", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "total: 2 of 2 runs" in result.stdout
