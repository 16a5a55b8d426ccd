"""Frozen encoders from files: their description, their frames, and refusals."""

from __future__ import annotations

import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import soundfile
import yaml
from conftest import COARSE_YAML, Project, write_noise, write_project
from encoder_files import N_DIMS, N_STEP, expected, write_onnx, write_tflite

from sedmtl.config import EncoderFile
from sedmtl.features import extraction
from sedmtl.features.encoder import Encoder, encoder
from sedmtl.inference import embed
from sedmtl.inference.vector_files import open_writer
from sedmtl.store import Store, VectorFile

RATE = 8_000
FACTS = {"sample_rate": RATE, "licence": "for tests"}
NOISE = np.random.default_rng(1).uniform(-0.5, 0.5, 16_000).astype(np.float32)


def opened(path, **settings):
    section = EncoderFile.model_validate({path.suffix[1:]: path, **FACTS, **settings})
    return Encoder.open(section, path)


def name_encoder(project, path, **settings):
    """Set `features.encoder` in the project's data.yaml."""
    data = yaml.safe_load((project.folder / "data.yaml").read_text())
    data["features"]["encoder"] = {path.suffix[1:]: path.name, **FACTS, **settings}
    (project.folder / "data.yaml").write_text(yaml.safe_dump(data))


def run(project, command, *arguments):
    result = project.run(command, *arguments)
    assert result.exit_code == 0, result.output
    return result


def features_of(project, name="snr_20"):
    return project.work / "features" / f"{name}.h5"


# Frames


@pytest.mark.parametrize("n_samples", [2_000, 400])
def test_frames_of_windows_that_touch_are_those_of_the_windows(tmp_path, n_samples):
    encoder = opened(write_onnx(tmp_path / "e.onnx", n_samples), dtype="float32")
    frames = encoder.frames(NOISE, RATE)
    windows = expected(NOISE.reshape(-1, n_samples)).reshape(-1, N_DIMS)
    np.testing.assert_allclose(frames, windows, rtol=1e-5, atol=1e-4)  # float32, any order of sums
    assert encoder.card.rate_hz == RATE / N_STEP


def test_one_batch_more_or_less_and_either_runtime_give_the_same(tmp_path):
    files = [write_onnx(tmp_path / "b.onnx", 400), write_onnx(tmp_path / "1.onnx", 400, 1)]
    kept = [opened(path).frames(NOISE, RATE) for path in files]
    lite = opened(write_tflite(tmp_path / "e.tflite"), output="vectors").frames(NOISE, RATE)
    for other in (*kept[1:], lite):
        np.testing.assert_allclose(other, kept[0], rtol=1e-3)  # one step of float16


@pytest.mark.parametrize("kind", ["mixing", "lonely"])
def test_windows_that_would_change_each_other_go_in_one_by_one(tmp_path, kind):
    encoder = opened(write_onnx(tmp_path / "e.onnx", 400, kind=kind), dtype="float32")
    np.testing.assert_allclose(
        encoder.frames(NOISE, RATE), expected(NOISE.reshape(-1, N_STEP))[:, 0], rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("n_samples", [400, 2_000])
def test_a_frame_of_overlapping_windows_stands_for_the_sound_at_its_place(tmp_path, n_samples):
    """A click in the middle of a frame's span changes that frame most."""
    path = write_onnx(tmp_path / "e.onnx", n_samples)
    encoder = opened(path, hop_s=n_samples / RATE if n_samples == 2_000 else 0.025)
    rate = encoder.card.rate_hz
    for k in (0, 7, encoder.card.n_frames(2.0) - 1):
        click = np.zeros(16_000, np.float32)
        click[round((k + 0.5) / rate * RATE)] = 0.5
        level = np.abs(encoder.frames(click, RATE)).sum(axis=1)
        heard = np.flatnonzero(level)
        assert k in heard
        assert abs(heard.mean() - k) <= 0.5


@pytest.mark.parametrize(
    ("n_frames", "n_kept"), [(n, kept) for n in range(1, 6) for kept in range(1, n + 1)]
)
def test_the_middle_frames_of_overlapping_windows_are_those_of_windows_that_touch(
    tmp_path, n_frames, n_kept
):
    """This encoder uses no context, so the position of its windows must not matter."""
    path = write_onnx(tmp_path / "e.onnx", n_frames * N_STEP)
    overlapping = opened(path, hop_s=n_kept * N_STEP / RATE, dtype="float32")
    assert overlapping.card.n_kept == n_kept
    wanted = expected(NOISE[None])[0]
    np.testing.assert_allclose(overlapping.frames(NOISE, RATE), wanted, rtol=1e-5, atol=1e-4)


def test_a_frame_that_extends_beyond_the_clip_is_included(tmp_path):
    encoder = opened(write_onnx(tmp_path / "e.onnx"))
    frames = encoder.frames(NOISE[:1_001], RATE)
    assert len(frames) == encoder.card.n_frames(1_001 / RATE) == 3
    assert frames[-1].any()


def test_an_inner_tensor_can_be_requested(tmp_path):
    encoder = opened(write_onnx(tmp_path / "e.onnx", 400), output="levels", dtype="float32")
    np.testing.assert_array_equal(encoder.frames(NOISE, RATE), np.abs(NOISE.reshape(-1, N_STEP)))


def test_audio_of_a_higher_rate_is_resampled_to_the_encoders(tmp_path):
    encoder = opened(write_onnx(tmp_path / "e.onnx"), dtype="float32")
    t = np.arange(32_000) / 16_000
    fine = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    inner = slice(1, -1)  # the resampler's filter reaches beyond the ends
    same = encoder.frames(fine[::2].copy(), RATE)[inner]
    np.testing.assert_allclose(encoder.frames(fine, 16_000)[inner], same, rtol=2e-2, atol=0.05)


def test_float16_keeps_frames_to_half_a_step_of_it(tmp_path):
    path = write_onnx(tmp_path / "e.onnx")
    exact, stored = opened(path, dtype="float32"), opened(path)
    assert stored.frames(NOISE, RATE).dtype == np.float16
    np.testing.assert_allclose(
        stored.frames(NOISE, RATE), exact.frames(NOISE, RATE), rtol=2.0**-11, atol=1e-7
    )
    assert exact.rounding == 0
    assert 0 < stored.rounding < 2.0**-11


def test_metadata_of_a_file_need_not_be_repeated(tmp_path):
    stated = {"sample_rate": "8000", "window_s": "0.1", "licence": "its own"}
    path = write_onnx(tmp_path / "e.onnx", "N", metadata=stated)
    card = Encoder.open(EncoderFile(onnx=path), path).card
    assert (card.sample_rate, card.window, card.licence) == (RATE, 800, "its own")


# Recordings


@pytest.mark.parametrize(
    ("n_samples", "hop_s"), [(2_000, None), (2_000, 0.15), (800, 0.05), (400, 0.025)]
)
def test_a_stream_gives_the_frames_of_the_whole_recording_whatever_its_blocks(
    tmp_path, n_samples, hop_s
):
    encoder = opened(write_onnx(tmp_path / "e.onnx", n_samples), hop_s=hop_s)
    for length in (100, 16_000):
        recording = NOISE[:length]
        whole = encoder.frames(recording, RATE)
        for size in (37, 5_000):
            blocks = (recording[at : at + size] for at in range(0, length, size))
            # Batches of another size may round the last bit of float32 differently.
            np.testing.assert_allclose(
                np.concatenate(list(encoder.stream(blocks))), whole, rtol=2.0**-10
            )


def test_embed_writes_the_vectors_of_recordings_and_names_what_it_cannot_read(tmp_path):
    project = Project(tmp_path)
    (tmp_path / "data.yaml").write_text(
        f"mixing: {{sample_rate: {RATE}}}\nfeatures: {{f_max: 4000}}\n"
    )
    name_encoder(project, write_onnx(tmp_path / "e.onnx"), dtype="float32")
    for n, seconds in enumerate((1.0, 2.5)):
        write_noise(tmp_path / "recordings" / f"{n}.wav", n, seconds)
    (tmp_path / "recordings" / "broken.wav").write_bytes(b"no audio")
    h5, npy = tmp_path / "v.h5", tmp_path / "v.npy"
    for out in (h5, npy):
        result = project.run("embed", tmp_path / "recordings", "--out", out)
        assert result.exit_code == 1
        assert "1 of 3 recordings cannot be read" in result.stderr
    with h5py.File(h5) as file:
        assert [name.decode() for name in file["name"][:]] == ["0.wav", "1.wav"]
        assert file["recording"][:].tolist() == [0] * 20 + [1] * 50
        np.testing.assert_allclose(file["onset_s"][20:], np.arange(50) / 20)
        vectors = file["vector"][:]
        assert b"licence: for tests" in file.attrs["source"]
    np.testing.assert_array_equal(np.load(npy), vectors)
    assert npy.with_suffix(".tsv").read_text().splitlines()[21] == "1.wav\t0.000\t0.050"
    recording, _ = soundfile.read(tmp_path / "recordings" / "1.wav", dtype="float32")
    np.testing.assert_allclose(
        vectors[20:], expected(recording.reshape(-1, N_STEP))[:, 0], rtol=1e-4
    )


def test_an_interrupted_or_empty_embed_leaves_no_file(tmp_path, monkeypatch):
    project = Project(tmp_path)
    write_noise(tmp_path / "a.wav", 1, 1.0)
    (tmp_path / "data.yaml").write_text("")
    stated = {"sample_rate": str(RATE), "licence": "for tests"}
    onnx = write_onnx(tmp_path / "e.onnx", metadata=stated)
    out = tmp_path / "out" / "v.npy"

    def interrupt(*_):
        assert (out.parent / ".v.npy.part").is_file()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(embed, "embed_file", interrupt)
        result = project.run("embed", tmp_path / "a.wav", "--out", out, "--onnx", onnx)
    assert result.exit_code == 130
    assert list(out.parent.iterdir()) == []
    run(project, "embed", tmp_path / "a.wav", "--out", out, "--onnx", onnx)
    before = out.read_bytes()
    run(project, "embed", tmp_path / "a.wav", "--out", out, "--onnx", onnx)  # replaces its own file
    assert out.read_bytes() == before
    assert sorted(each.name for each in out.parent.iterdir() if each.name[0] != ".") == [
        "v.npy", "v.tsv",
    ]  # fmt: skip


def test_many_recordings_are_appended_to_one_file(tmp_path):
    rng, frames = np.random.default_rng(0), []
    (tmp_path / "v.h5").touch()
    file = VectorFile(tmp_path / "v.h5", "what made them")
    for n in range(30):
        frames.append(rng.normal(size=(500 * (n % 3) + 1, 7)).astype(np.float16))
        file.append(f"{n:d}é.wav", np.arange(len(frames[-1]) + 1.0), frames[-1])
    file.close()
    with h5py.File(tmp_path / "v.h5") as found:
        np.testing.assert_array_equal(found["vector"][:], np.concatenate(frames))
        assert found["name"].asstr()[29] == "29é.wav"
        assert np.bincount(found["recording"][:]).tolist() == [len(each) for each in frames]
        assert found["offset_s"][1:501].tolist() == list(range(1, 501))
    assert (tmp_path / "v.h5").stat().st_size < 2 * 30 * 500 * 30  # no reserved space is left


def test_parquet_has_a_row_for_each_vector(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    writer = open_writer(".parquet", [tmp_path / "v.parquet"], "what made them")
    frames = [np.full((n, 2), n, np.float16) for n in (3, 9_000, 1)]
    for each in frames:
        writer.append(f"{len(each)}.wav", np.arange(len(each) + 1.0), each)
    writer.close()
    table = parquet.read_table(tmp_path / "v.parquet")
    assert table.schema.metadata[b"source"] == b"what made them"
    np.testing.assert_array_equal(np.stack(table["vector"].to_numpy()), np.concatenate(frames))
    assert table["filename"].to_pylist()[:4] == ["3.wav"] * 3 + ["9000.wav"]
    assert parquet.ParquetFile(tmp_path / "v.parquet").num_row_groups == 2


def test_litert_prints_nothing_on_stderr(tmp_path):
    path = write_tflite(tmp_path / "e.tflite")
    code = (
        "import pathlib, sys; from sedmtl.config import EncoderFile\n"
        "from sedmtl.features.encoder import Encoder\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "Encoder.open(EncoderFile(tflite=path, sample_rate=8000), path)\n"
        "print('after', file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert found.stderr == "after\n"


def test_a_file_of_an_option_is_named_with_the_option(tmp_path, one_sentence):
    project = Project(tmp_path)
    (tmp_path / "data.yaml").write_text("")
    write_noise(tmp_path / "a.wav", 1, 1.0)
    missing, out = tmp_path / "none.onnx", tmp_path / "v.h5"
    embedding = ("embed", tmp_path / "a.wav", "--out", out, "--onnx")
    one_sentence(project.run(*embedding, missing), f"--onnx: cannot read {missing}")
    silent = write_onnx(tmp_path / "e.onnx")
    one_sentence(project.run(*embedding, silent), "--onnx: ", "does not say the rate", "data.yaml")
    predicting = project.run("predict", tmp_path / "a.wav", "--encoder", missing)
    one_sentence(predicting, f"--encoder: cannot read {missing}")


def test_embed_says_what_is_missing(tmp_path, one_sentence):
    project = Project(tmp_path)
    (tmp_path / "data.yaml").write_text("")
    write_noise(tmp_path / "a.wav", 1, 1.0)
    one_sentence(project.run("embed", tmp_path / "a.wav", "--out", "v.csv"), ".h5, .npy, .parquet")
    one_sentence(
        project.run("embed", tmp_path / "a.wav", "--out", tmp_path / "v.h5"), "features.encoder"
    )


# Stores


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A project with an encoder, mixtures and features."""
    made = Project(write_project(tmp_path_factory.mktemp("encoder"), COARSE_YAML))
    name_encoder(made, write_onnx(made.folder / "e.onnx"))
    run(made, "mix", "--snr", 20)
    run(made, "features")
    return made


@pytest.fixture
def made(template, tmp_path):
    """A copy of the template that may be changed."""
    return Project(shutil.copytree(template.folder, tmp_path / "copy"))


def test_a_store_holds_the_frames_of_its_mixtures_and_the_card(template):
    with Store(template.work / "mixtures" / "snr_20.h5", "waveform") as mixtures:
        waveforms = mixtures.read_audio(range(len(mixtures)))
    with Store(features_of(template), "frames") as store:
        frames = store.read(range(len(store)))
        assert store.row_shape == (40, N_DIMS)
        assert store.shape_of("logmel")[1] == 16
        assert store.encoder.name == "e.onnx"
        assert store.encoder.licence == "for tests"
        assert store.encoder.is_same(opened(template.folder / "e.onnx").card)
    windows = expected(waveforms.reshape(-1, N_STEP))
    np.testing.assert_allclose(frames, windows.reshape(frames.shape), rtol=1e-3, atol=1e-3)


def test_an_encoder_is_tried_before_audio_is_read(made, one_sentence, monkeypatch):
    name_encoder(made, write_onnx(made.folder / "louder.onnx", gain=np.inf))
    monkeypatch.setattr(extraction, "open_mixtures", lambda _: pytest.fail("a store was opened"))
    one_sentence(made.run("features"), "louder.onnx gives NaN or infinity")


def test_frames_that_are_nan_are_refused_with_the_mixture(made, one_sentence, monkeypatch):
    features_of(made).unlink()
    give, asked = encoder.vectors_of, []

    def fail_at_last(*arguments):
        asked.append(None)
        vectors = give(*arguments)
        return vectors * np.nan if len(asked) == 20 else vectors

    monkeypatch.setattr(encoder, "vectors_of", fail_at_last)
    result = made.run("features", "--workers", 1)
    one_sentence(result, "the encoder e.onnx gives NaN or infinity (in mixture ")
    assert not features_of(made).is_file()


def test_bytes_of_a_store_do_not_depend_on_the_workers(made, template):
    features_of(made).unlink()
    run(made, "features", "--workers", 3)
    assert features_of(made).read_bytes() == features_of(template).read_bytes()


def test_interrupted_frames_resume(made, template, monkeypatch):
    features_of(made).unlink()
    make, asked = extraction.features_of, []

    def stop_at_the_second(rows, **how):
        asked.append(rows)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return make(rows, **how)

    monkeypatch.setattr(extraction, "features_of", stop_at_the_second)
    assert made.run("features", "--workers", 1).exit_code == 130
    asked[:] = [None, None]
    run(made, "features", "--workers", 1)
    assert asked[2][0] == 8
    assert features_of(made).read_bytes() == features_of(template).read_bytes()


def test_the_log_mel_is_the_same_with_an_encoder_and_without(made):
    with Store(features_of(made), "logmel") as store:
        with_encoder = store.data_hash("logmel")
    data = yaml.safe_load((made.folder / "data.yaml").read_text())
    del data["features"]["encoder"]
    (made.folder / "data.yaml").write_text(yaml.safe_dump(data))
    run(made, "features")
    with Store(features_of(made), "logmel") as store:
        assert store.data_hash("logmel") == with_encoder
        assert store.encoder is None
        assert "encoder" not in store.attributes


def test_another_file_or_setting_rebuilds_the_store_and_another_name_or_licence_does_not(made):
    before = features_of(made).stat().st_mtime_ns
    moved = (made.folder / "e.onnx").rename(made.folder / "moved.onnx")
    name_encoder(made, moved, licence="another text")
    run(made, "features")
    assert features_of(made).stat().st_mtime_ns == before
    with Store(features_of(made), "frames") as store:
        assert (store.encoder.name, store.encoder.licence) == ("moved.onnx", "another text")
    name_encoder(made, write_onnx(made.folder / "louder.onnx", gain=2.0))
    assert "rebuilding it" in run(made, "features").stderr
    name_encoder(made, made.folder / "louder.onnx", dtype="float32")
    assert "rebuilding it" in run(made, "features").stderr


def test_the_cost_the_licence_and_the_loss_are_printed_first(made):
    features_of(made).unlink()
    said = run(made, "features").stderr
    assert "licence: for tests" in said
    assert "192 windows of 0.25 s, about 0 s" in said
    assert "float16 to 0.0002 of their size" in said


def test_long_recordings_have_frames_for_each_of_their_windows(tmp_path):
    project = Project(tmp_path)
    for n, seconds in enumerate((1.0, 5.0)):
        write_noise(tmp_path / "recordings" / f"{n}.wav", n, seconds)
    (tmp_path / "clips.csv").write_text("filename,labels,fold\n0.wav,a,1\n1.wav,b,2\n")
    corpus = {"clips": {"csv": "clips.csv", "root": "recordings"}}
    (tmp_path / "data.yaml").write_text(
        yaml.safe_dump(
            {
                "corpus": corpus,
                "mixing": {"sample_rate": RATE, "duration_s": 2.0},
                "features": {"window": 400, "hop": 400, "n_mels": 16, "f_max": 4000.0},
            }
        )
    )
    name_encoder(project, write_onnx(tmp_path / "e.onnx"), dtype="float32")
    run(project, "features")
    with Store(features_of(project, "clips"), "frames") as store:
        frames, windows = store.read(range(store.clips.n_rows)), store.clips.windows
        starts = windows.start[1:] * 400
    assert len(frames) == 1 + len(starts) > 3
    assert not frames[0, 20:].any()  # the first recording is padded with silence
    recording, _ = soundfile.read(tmp_path / "recordings" / "1.wav", dtype="float32")
    for row, start in zip(frames[1:], starts, strict=True):
        clip = recording[start : start + 16_000]
        levels = expected((clip / np.abs(clip).max() * 0.5).reshape(-1, N_STEP))
        np.testing.assert_allclose(row, levels.reshape(row.shape), rtol=1e-4, atol=1e-3)
