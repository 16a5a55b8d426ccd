"""Recordings longer than a clip are trained on and scored as a whole, in windows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import Project, write_noise

from sedmtl.config import Mixing, load_config
from sedmtl.data import audio
from sedmtl.data.grid import Grid
from sedmtl.evaluation.localisation import detected, timelines
from sedmtl.features import recordings
from sedmtl.features.recordings import WindowStart, window_table
from sedmtl.inference.detector import Detector
from sedmtl.inference.inspection import joined
from sedmtl.inference.timelines import score_recordings
from sedmtl.models import SedOutput
from sedmtl.store import Store, WindowTable, read_scores
from sedmtl.training import bags
from sedmtl.training.bags import Bags
from sedmtl.training.batches import Batch
from sedmtl.training.config import TrainConfig
from sedmtl.training.known import PRESENCE, Knowledge
from sedmtl.training.losses import CLIP, DETECTION, Objective
from sedmtl.training.start import open_trainer
from sedmtl.training.tasks.reconstruct import Reconstruct

DATA_YAML = """\
corpus: {clips: {csv: clips.csv, root: recordings, strong: strong.tsv}}
mixing: {sample_rate: 8000, duration_s: 1, folds: 2}
features: {window: 256, hop: 128, n_mels: 16, f_min: 50, f_max: 4000}
"""
RUN = ("--fold", 1, "--model", "pooled", "--width", 2, "--batch-size", 4, "--precision", "float32")
CPU = torch.device("cpu")


def write_recordings(folder):
    """Write recordings of 0.4 to 8.3 s: noise, and in some a tone after the first second."""
    rng = np.random.default_rng(0)
    table, strong = ["filename,labels,fold"], ["filename\tonset\toffset\tevent_label"]
    for n in range(16):
        length_s = (0.4, 1.0, 8.3, 2.5)[n // 2 % 4] + 0.01 * n
        label = ("", "low", "high")[n % 3] if length_s > 1.5 else ("low", "high")[n // 2 % 2]
        path = folder / "recordings" / f"{n:02d}.wav"
        write_noise(path, n, length_s)
        if label:
            onset_s = rng.uniform(1.1, length_s - 0.4) if length_s > 1.5 else 0.0
            wave, first = audio.read(path, 8000), round(onset_s * 8000)
            hz = 400 if label == "low" else 2000
            event = np.sin(2 * np.pi * hz * np.arange(3200) / 8000)[: len(wave) - first]
            wave[first : first + len(event)] += event
            path.write_bytes(audio.wav_bytes(wave / np.abs(wave).max(), 8000))
            offset_s = onset_s + len(event) / 8000
            strong.append(f"{path.name}\t{onset_s:.3f}\t{offset_s:.3f}\t{label}")
        table.append(f"{path.name},{label},{n % 2 + 1}")
    (folder / "clips.csv").write_text("\n".join(table))
    (folder / "strong.tsv").write_text("\n".join(strong))
    (folder / "data.yaml").write_text(DATA_YAML)
    return Project(folder)


def run(project, *arguments):
    result = project.run(*arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A project of long recordings with features and a finished run; read only."""
    project = write_recordings(tmp_path_factory.mktemp("long"))
    run(project, "features")
    run(project, "train", *RUN, "--epochs", 2, "--name", "run")
    return project


@pytest.fixture(scope="module")
def store(long):
    with Store(long.work / "features" / "clips.h5", "logmel") as opened:
        yield opened


@pytest.fixture(scope="module")
def detector(long):
    return Detector.load(long.work / "runs" / "run")


def recording(project, name):
    return project.folder / "recordings" / name


@pytest.mark.slow
def test_the_store_holds_the_windows_that_predict_cuts(store, long, detector):
    windows, grid = store.clips.windows, detector.card.logmel_grid
    logmel = store.read(range(store.clips.n_rows))
    for clip, name in enumerate(store.clips.name):
        wave = audio.read(recording(long, name), 8000)
        rows, _ = store.clips.rows_of(np.array([clip]))
        np.testing.assert_array_equal(windows.start[rows], grid.starts(len(wave)))
        assert windows.duration_s[clip] == len(wave) / 8000
        for row in rows:
            part = wave[windows.start[row] * grid.hop :][: grid.n_samples]
            assert windows.n_frames[row] == grid.frames_within(len(part))
            expected = detector.network.logmel(audio.conform(part, grid.n_samples)[None])[0]
            np.testing.assert_allclose(logmel[row], expected, atol=1e-3)


def test_evaluation_scores_whole_recordings_as_predict_does(long, detector):
    scores = read_scores(long.work / "runs" / "run" / "scores.h5")
    settings = detector.card.postprocessing
    assert scores.durations_s.max() > 8
    for row, name in enumerate(scores.name):
        found = detector.predict(recording(long, name))
        (frame,) = timelines(scores, np.array([row])).joined(settings)
        np.testing.assert_allclose(frame, found.frame, atol=2e-3)  # stored in 16 bits
        np.testing.assert_allclose(scores.score["honest"][row], found.clip, atol=1e-5)
        assert scores.durations_s[row] == pytest.approx(found.duration_s)
        for event in detected(scores, row, settings):
            assert 0 <= event.onset_s < event.offset_s <= found.duration_s


@pytest.mark.usefixtures("undrawn")
def test_pages_and_tables_show_recordings_longer_than_a_clip(long):
    run(long, "eval", "run", "--per-class")
    rows = json.loads((long.work / "eval" / "eval.json").read_text())["rows"]
    assert rows[0]["frame_ap_micro"] > 0
    page = Path(run(long, "report", "run").stdout.strip()).read_text()
    shown = [part for part in page.split("<figcaption>") if " s of 8." in part]
    assert shown, "no window of a long recording is shown"
    assert "No log-mel" not in page


@pytest.mark.usefixtures("undrawn")
def test_a_report_has_the_sound_of_own_recordings(long, tmp_path):
    page = Path(run(long, "report", "run", "--out", tmp_path / "r.html").stdout.strip()).read_text()
    names = set(re.findall(r"<audio[^>]* aria-label=\"([^\"]+)\"", page))
    assert len(names) == page.count('class="clip"') > 0
    away = recording(long, min(names))
    away.rename(away.with_suffix(".away"))
    try:
        page = Path(run(long, "report", "run", "--out", tmp_path / "r.html").stdout.strip())
        assert page.read_text().count("<audio") == len(names) - 1
        assert f"No audio: no audio file {away}." in page.read_text()
    finally:
        away.with_suffix(".away").rename(away)


def test_a_page_shows_a_whole_recording_clip_by_clip(long, detector, tmp_path):
    path = recording(long, "04.wav")
    out = tmp_path / "a.html"
    run(long, "visualize", path, "--run", "run", "--out", out)
    text = out.read_text()
    data = json.loads(re.search(r'id="clip">(.*?)</script>', text)[1])
    duration_s, grid = audio.probe(path).duration_s, detector.card.grid
    assert data["audio_end_s"] == pytest.approx(duration_s, abs=2e-3)
    assert duration_s <= data["end_s"] < duration_s + detector.duration_s
    assert data["n_frames"] * data["hop_s"] >= duration_s - 2 * grid.hop_s
    step_s = grid.n_frames * grid.hop_s
    parts = [detector.inspect(path, start_s=k * step_s) for k in range(3)]
    whole = joined(parts)
    hop_s = detector.card.logmel_grid.hop_s
    np.testing.assert_allclose(np.diff(whole.logmel_edges_s), hop_s)
    np.testing.assert_allclose(np.diff(whole.frame_edges_s), grid.hop_s)
    assert whole.frame.shape[1] == 3 * grid.n_frames == len(whole.frame_edges_s) - 1
    for k, part in enumerate(parts):
        at = k * grid.n_frames
        np.testing.assert_array_equal(whole.frame[:, at : at + grid.n_frames], part.frame)
        at = round((part.logmel_edges_s[0] - whole.logmel_edges_s[0]) / hop_s)
        np.testing.assert_array_equal(whole.logmel[at : at + 8], part.logmel[:8])
    assert f"--windows:{round((data['end_s'] - detector.duration_s) / step_s) + 1}" in text


def test_the_bytes_do_not_depend_on_workers_or_interruptions(long, tmp_path):
    project = write_recordings(tmp_path)
    run(project, "features", "--workers", 3)
    path = Path("features") / "clips.h5"
    assert (project.work / path).read_bytes() == (long.work / path).read_bytes()


def test_a_store_of_short_recordings_has_no_windows(tmp_path):
    project = write_recordings(tmp_path)
    (tmp_path / "data.yaml").write_text(DATA_YAML.replace("duration_s: 1", "duration_s: 9"))
    run(project, "features")
    with Store(project.work / "features" / "clips.h5", "logmel") as opened:
        assert opened.clips.windows is None
        assert opened.clips.n_rows == len(opened) == 16


def test_long_recordings_are_read_in_parts_and_short_ones_several_at_once(monkeypatch):
    monkeypatch.setattr(recordings, "PART", 10)
    lengths = [1, 1, 25, 3, 7, *[1] * 9]
    rows = [WindowStart(Path(str(n)), k) for n, length in enumerate(lengths) for k in range(length)]
    blocks = list(recordings.row_blocks(rows))
    assert [row for block in blocks for row in block] == rows
    assert [len(block) for block in blocks] == [10, 10, 10, 8, 8]
    of_mp3 = [WindowStart(Path("a.MP3"), k) for k in range(recordings.PART_OF_MP3 + 1)]
    assert [len(block) for block in recordings.row_blocks(of_mp3)] == [recordings.PART_OF_MP3, 1]


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_where_parts_begin_changes_no_window_by_more_than_the_resampler_does(tmp_path, rate):
    path, windows = tmp_path / "a.wav", [0, 3000, 6000, 7500]
    write_noise(path, 0, 2.0, rate=rate)
    mixing = Mixing(sample_rate=8000, duration_s=1, event_s=0.1, onsets=[0.1])
    together = list(
        recordings.read_windows([WindowStart(path, first) for first in windows], mixing)
    )
    for first, window in zip(windows, together, strict=True):
        (alone,) = recordings.read_windows([WindowStart(path, first)], mixing)
        np.testing.assert_allclose(window[100:-100], alone[100:-100], atol=1e-4)


def test_ten_hours_take_windows_in_proportion(long):
    config = load_config(long.folder / "data.yaml")
    windows = window_table([36_000.0, 0.01, 1.0], config)
    n_each = np.bincount(windows.clip)
    assert n_each.tolist()[1:] == [1, 1]
    assert n_each[0] == pytest.approx(36_000 / (31 * 128 / 8000), rel=0.01)  # 30 of 61 are shared
    assert windows.n_frames[-2] == 0  # shorter than half a frame's window


def test_a_damaged_end_of_a_long_recording_is_found_and_the_recording_left_out(tmp_path):
    project = write_recordings(tmp_path)
    path = recording(project, "04.wav")
    wave = audio.read(path, 8000)
    wave[-100] = np.nan
    soundfile.write(path, wave, 8000, subtype="FLOAT")
    said = run(project, "features").stderr
    assert f"left out: {path} holds NaN or infinity at" in said


# Training


def table_of(n_each):
    clip = np.repeat(np.arange(len(n_each)), n_each)
    start = np.concatenate([np.arange(n) for n in n_each])
    return WindowTable(
        clip.astype(np.int32), start.astype(np.int32), np.ones_like(start, np.int32),
        np.ones(len(n_each)),
    )  # fmt: skip


def bags_of(n_each, target=None):
    target = np.ones((len(n_each), 2), np.uint8) if target is None else np.array(target, np.uint8)
    return Bags(table_of(n_each), target, 0, CPU)


def test_windows_of_a_step_are_few_and_drawn_anew_in_each_epoch(monkeypatch):
    monkeypatch.setattr(bags, "MAX_WINDOWS", 3)
    of_store, seen = bags_of([2, 10, 1, 3]), set()
    for epoch in range(1, 30):
        of_store.begin(epoch)
        rows, which = of_store.draw(np.array([3, 1, 0]))
        assert np.bincount(which).tolist() == [3, 3, 2]
        assert len(set(rows)) == 8
        seen |= set(rows)
    assert seen == {*range(12), 13, 14, 15}


def test_the_draw_of_a_recording_does_not_depend_on_the_others(monkeypatch):
    monkeypatch.setattr(bags, "MAX_WINDOWS", 3)
    of_store = bags_of([5, 9, 7])
    of_store.begin(4)
    rows, which = of_store.draw(np.array([0, 1, 2]))
    for clip in range(3):
        np.testing.assert_array_equal(of_store.draw(np.array([clip]))[0], rows[which == clip])


def test_windows_where_a_class_was_found_are_drawn_again_with_others(monkeypatch):
    monkeypatch.setattr(bags, "MAX_WINDOWS", 4)
    of_store, seen = bags_of([9, 1], [[1, 0], [0, 1]]), set()
    of_store.begin(1)
    scores = torch.linspace(0.1, 0.5, 10)[:, None] * torch.tensor([[1.0, -1.0]]) + 0.5
    scores[5, 0] = 0.99
    of_store.remember(torch.arange(10), scores)
    before = of_store.draw(np.array([0]))[0]
    of_store.end()
    assert not np.array_equal(before, of_store.draw(np.array([0]))[0])  # in the next epoch
    for epoch in range(2, 40):
        of_store.begin(epoch)
        rows, _ = of_store.draw(np.array([0, 1]))
        assert len(rows) == 5
        assert {5, 9} <= set(rows)
        seen |= set(rows)
    assert seen == set(range(10))


def test_at_least_half_of_the_windows_are_drawn_by_chance_whatever_the_labels(monkeypatch):
    monkeypatch.setattr(bags, "MAX_WINDOWS", 4)
    of_store = Bags(table_of([40]), np.ones((1, 30), np.uint8), 0, CPU)
    of_store.begin(1)
    scores = torch.zeros(40, 30)
    scores[torch.arange(30), torch.arange(30)] = 1.0  # each class in a window of its own
    of_store.remember(torch.arange(40), scores)
    of_store.end()
    drawn = []
    for epoch in range(2, 60):
        of_store.begin(epoch)
        drawn += of_store.draw(np.array([0]))[0].tolist()
    assert len(drawn) == 4 * 58
    assert 0.05 < np.mean(np.array(drawn) >= 30) < 0.25  # 10 of 40, half of the time


class Echo(torch.nn.Module):
    """A network whose clip scores are its input's first frame."""

    def forward(self, logmel, *, reconstruct=True):
        clip = logmel[:, 0, :2].sigmoid()
        tasks = {"reconstruct": 0.5 * logmel} if reconstruct else {}
        return SedOutput(clip, clip[..., None], clip[..., None, None], tasks=tasks)


def losses_of(logmel, target, which, tasks=False):
    made = {"reconstruct": Reconstruct(None, None)} if tasks else {}
    objective = Objective(Echo(), made, dict.fromkeys(made, 1.0), in_bfloat16=False)
    return objective(Batch(torch.arange(len(logmel)), {"logmel": logmel}, target, which))


def test_the_label_belongs_to_the_highest_window_of_the_recording():
    logmel = torch.tensor([[[-1.0, 2.0]], [[3.0, -2.0]], [[0.5, 0.5]]], requires_grad=True)
    target, which = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    losses = losses_of(logmel, target, which)
    scores = torch.tensor([[3.0, 2.0], [0.5, 0.5]]).sigmoid()
    expected = torch.nn.functional.binary_cross_entropy(scores, target)
    assert losses[DETECTION].item() == pytest.approx(expected.item(), abs=1e-6)
    torch.testing.assert_close(losses[CLIP], logmel[:, 0].sigmoid().detach())
    losses[DETECTION].backward()
    assert (logmel.grad[:, 0] != 0).tolist() == [[False, True], [True, False], [True, True]]


def test_every_recording_counts_the_same_however_the_batch_is_divided():
    torch.manual_seed(0)
    logmel, which = torch.randn(6, 3, 4), torch.tensor([0, 0, 0, 1, 2, 2])
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    whole = losses_of(logmel, target, which, tasks=True)
    first = losses_of(logmel[:3], target[:1], which[:3], tasks=True)
    rest = losses_of(logmel[3:], target[1:], which[3:] - 1, tasks=True)
    for name in ("total", "detection", "reconstruct"):
        torch.testing.assert_close(whole[name], (first[name] + 2 * rest[name]) / 3)
    nothing = losses_of(logmel[:0], target[:0], which[:0], tasks=True)
    assert nothing["total"].item() == 0


@pytest.mark.slow
def test_resumed_training_equals_uninterrupted_training(store):
    config = TrainConfig.of({"data": "clips", "fold": 1, "model": "pooled", "width": 2,
                             "batch_size": 4, "epochs": 3, "alpha": 0})  # fmt: skip
    straight = open_trainer(config, store, CPU)
    records = list(straight.fit(lambda _: None))
    first = open_trainer(config, store, CPU)
    going = first.fit(lambda _: None)
    next(going)
    resumed = open_trainer(config, store, CPU)
    resumed.restore(first.state())
    for record, again in zip(records[1:], resumed.fit(lambda _: None), strict=True):
        assert record["loss"] == again["loss"]
        assert record["held_out"] == again["held_out"]
    torch.testing.assert_close(straight.state()["windows"], resumed.state()["windows"])
    assert (straight.state()["windows"] >= 0).any()


def test_the_trainer_scores_recordings_by_their_highest_window(store, detector):
    clips = np.array([4, 0, 7])
    lines, whole = score_recordings(detector, store, clips)
    for i, clip in enumerate(clips):
        rows, _ = store.clips.rows_of(np.array([clip]))
        of_windows, _ = detector.network.score(store.read, rows)
        np.testing.assert_allclose(whole[i], of_windows.max(axis=0), atol=1e-6)
    assert lines.windows.clip.tolist() == sorted(lines.windows.clip.tolist())


def test_known_frames_are_those_of_each_window(store):
    rows = np.flatnonzero(store.clips.target.any(axis=1))
    known = Knowledge.of_store({PRESENCE: "--supervision strong"}, store, rows, None)
    read = known.of(store.clips.events, store.clips.scene, store.clips.windows)[PRESENCE]
    presence = read(np.arange(store.clips.n_rows))
    grid = Grid(8000, 8000, store.row_shape[0], 256, 128)
    events, windows = store.clips.events, store.clips.windows
    for row, clip in enumerate(windows.clip):
        centre_s = (grid.edges_s[:-1] + grid.edges_s[1:]) / 2 + windows.start[row] * grid.hop_s
        of_clip = events.mixture == clip
        for label in range(2):
            ours = of_clip & (events.label == label)
            spans = zip(events.onset_s[ours], events.offset_s[ours], strict=True)
            inside = np.zeros(len(centre_s), bool)
            for onset_s, offset_s in spans:
                inside |= (centre_s > onset_s - 1e-6) & (centre_s < offset_s - 1e-6)
            np.testing.assert_array_equal(presence[row, label] == 1, inside)
    assert presence[windows.start > 0].any()  # events lie after the first window


def test_remixing_long_recordings_is_refused(long, one_sentence):
    result = long.run("train", *RUN, "--remix", "--name", "remixed")
    one_sentence(result, "--remix mixes clips of 1 s", "longer recordings")


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": np.array([0, 0, 2], np.int32)},
        {"start": np.array([0, 0, 1], np.int32)[::-1].copy()},
        {"duration_s": np.array([1.0, np.nan])},
        {"n_frames": np.array([1, 1], np.int32)},
    ],
)
def test_an_impossible_table_of_windows_is_refused(wrong):
    fine = table_of([2, 1])
    fine.check(2)
    with pytest.raises(ValueError, match=r"windows|length"):
        WindowTable(**{**vars(fine), **wrong}).check(2)
