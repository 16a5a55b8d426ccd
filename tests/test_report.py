"""`sedmtl report`: the page's content, what it omits and why, and the page in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Project, visible, write_project
from matplotlib.image import imread
from selenium.webdriver.common.by import By
from sklearn.metrics import average_precision_score, log_loss
from test_results import scored

from sedmtl.evaluation.aggregate import tabulate
from sedmtl.evaluation.differences import names_of
from sedmtl.evaluation.evaluate import score_runs
from sedmtl.evaluation.rows import Row, ScoredRun
from sedmtl.inference.checkpoint import load_card
from sedmtl.inference.detector import Detector
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.task_predictions import TaskPredictions
from sedmtl.report import figures as plots
from sedmtl.report.embedding import sound
from sedmtl.report.figures.view import round_ticks
from sedmtl.report.project import clips, learning, page
from sedmtl.report.project.heads import predict_tasks
from sedmtl.report.project.networks import MAX_DETAILED, Network, choose_detailed
from sedmtl.store import EventTable, HeldOutScores, Store, read_scores
from sedmtl.training.config import TrainConfig

pytestmark = pytest.mark.slow

RUN = "2apae_snr20_fold1_alpha0.001_seed0"


class Reader(HTMLParser):
    """Collects a page's links, embedded files, headings and ids."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.headings, self.alts = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values[key] for key in ("src", "href") if key in values]
        self.ids += [values["id"]] if "id" in values else []
        self.headings += [int(tag[1])] if tag in ("h1", "h2", "h3", "h4") else []
        if tag == "img" or values.get("role") == "img":
            self.alts.append(values.get("alt") or values.get("aria-label"))


@pytest.fixture(scope="module")
def reported(trained, tmp_path_factory):
    """The page of a project with one run, and its text."""
    path = tmp_path_factory.mktemp("report") / "page.html"
    result = trained.run("report", "--out", path)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}\n"
    return path, path.read_text(encoding="utf-8")


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the project that tests may damage."""
    shutil.copytree(trained.folder, tmp_path / "copy")
    return Project(tmp_path / "copy")


def page_of(project):
    result = project.run("report")
    assert result.exit_code == 0, result.output
    return (project.work / "report.html").read_text(encoding="utf-8")


def scores_of(target, score):
    """Held-out scores with only what clip metrics need."""
    target, score = np.asarray(target, np.uint8), np.asarray(score, np.float32)
    n, n_classes = target.shape
    return HeldOutScores(
        classes=[f"class_{i}" for i in range(n_classes)],
        name=[f"clip_{i}" for i in range(n)],
        target=target,
        prior=np.full(n_classes, 0.5, np.float32),
        score={"honest": score},
        epoch={"honest": 1},
        frame=np.zeros((n, n_classes, 4), np.float16),
        frame_edges_s=np.linspace(0, 1, 5),
        duration_s=1.0,
        events=EventTable.empty(),
    )


def network_of(*runs, name="net", records=()):
    """A network with these runs and no metrics."""
    return Network(name, Row(runs, "honest", {}, (), {}, {}, 0, 0.0, 0.0), records)


def run_of(scores, recipe=None, card=None, name="run"):
    return ScoredRun(Path(name), recipe or recipe_of(), card, scores, {})


def recipe_of(**changes):
    recipe = {"data": "snr_20", "fold": 1, "model": "2apae", "attention": "released",
              "time_attention": "dense", "reconstruction": "relu", "alpha": 0.001, "width": 8,
              "seed": 0, "n_parameters": 10}  # fmt: skip
    return {**recipe, **changes}


def networks_of(recipes):
    """One network per recipe, with random scores and no cards."""
    rng = np.random.default_rng(0)
    target = np.eye(3)[rng.integers(3, size=12)]
    runs = [
        run_of(scores_of(target, rng.random((12, 3))), each, name=TrainConfig.of(each).name)
        for each in recipes
    ]
    rows = tabulate(runs)
    return [Network(name, row, [[]]) for name, row in zip(names_of(rows), rows, strict=True)]


def test_the_page_loads_nothing_from_elsewhere(reported):
    read = Reader(reported[1])
    assert read.links
    assert all(link.startswith(("data:", "#")) for link in read.links)


def test_every_entry_of_the_contents_leads_to_a_heading(reported):
    read = Reader(reported[1])
    wanted = [link[1:] for link in read.links if link.startswith("#")]
    assert wanted == ["results", "localisation", "learning", "classes", "confusion", "clips",
                      "settings"]  # fmt: skip
    assert set(wanted) <= set(read.ids)
    assert len(set(read.ids)) == len(read.ids)


def test_headings_skip_no_level_and_pictures_have_alt_texts(reported):
    read = Reader(reported[1])
    assert read.headings[0] == 1
    steps = np.diff(read.headings)
    assert steps.max() == 1
    assert len(read.alts) > 10
    assert all(read.alts)


def test_the_tables_are_those_of_eval(trained, reported):
    trained.run("eval", "--per-class")
    lines = (trained.work / "eval" / "eval.md").read_text().splitlines()
    cells = {cell.strip() for line in lines if line.startswith("| ") for cell in line.split("|")}
    text = unescape(re.sub(r"<[^>]*>", "\n", reported[1]))
    missing = cells - {"---", ""} - {line.strip() for line in text.splitlines()}
    assert missing == set()


def test_settings_and_versions_are_there(trained, reported):
    recipe = (trained.work / "runs" / RUN / "run.yaml").read_text()
    for key in ("sedmtl_version", "torch_version", "batch_size"):
        assert f">{re.search(rf'{key}: (.*)', recipe)[1]}<" in reported[1]
    assert "mixtures_per_fold: 6" in reported[1]


def test_the_sounds_are_those_of_the_mixtures(trained, reported):
    shown = re.findall(r'src="data:audio/mpeg;base64,([^"]+)" aria-label="([^"]+)"', reported[1])
    assert len(shown) == 6  # all clips of the fold, each once
    assert len({name for _, name in shown}) == 6
    with Store(trained.work / "mixtures" / "snr_20.h5", "waveform") as store:
        for text, name in shown:
            heard, rate = soundfile.read(io.BytesIO(base64.b64decode(text)))
            meant = store.read([list(store.clips.name).index(name)])[0].astype(float)
            assert rate == 8000
            assert len(heard) == len(meant)
            # Lossy, but the same sound: uncorrelated sounds would be near 0.
            assert np.corrcoef(heard, meant)[0, 1] > 0.9


def test_the_learning_curves_end_where_the_records_do(trained, reported):
    lines = (trained.work / "runs" / RUN / "metrics.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert f"loss from {first['loss']:.3f} to {last['loss']:.3f}" in reported[1]
    ends = [record["held_out"]["micro_p"] for record in (first, last)]
    assert f"held-out from {ends[0]:.3f} to {ends[1]:.3f}" in reported[1]


def test_the_same_runs_make_the_same_page(trained, reported, tmp_path):
    trained.run("report", RUN, "--out", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == reported[1]


@pytest.mark.parametrize(
    ("store", "sentence"),
    [("mixtures", "No audio: no store"), ("features", "No log-mel: no")],
)
def test_a_missing_store_is_reported_as_left_out(copied, store, sentence):
    (copied.work / store / "snr_20.h5").unlink()
    text = page_of(copied)
    assert sentence in text
    assert ("<audio" in text) == (store == "features")
    assert ('alt="Log-mel' in text) == (store == "mixtures")


@pytest.mark.parametrize(
    ("before", "after"),
    [("  folds: 4", "  folds: 4\n  seed: 5"), ("[0.1, 0.7, 1.3]", "random")],
    ids=["other mixtures", "the same events at other times"],
)
def test_a_store_of_other_clips_is_not_shown_for_the_scored_ones(copied, before, after):
    config = copied.folder / "data.yaml"
    config.write_text(config.read_text().replace(before, after))
    shutil.rmtree(copied.work / "mixtures")
    assert copied.run("mix", "--snr", 20).exit_code == 0
    text = page_of(copied)
    assert "snr_20.h5 has been rebuilt with other clips" in text
    assert "<audio" not in text


def test_lost_records_and_unfinished_runs_are_named(copied):
    (copied.work / "runs" / RUN / "metrics.jsonl").unlink()
    other = copied.work / "runs" / "begun"
    other.mkdir()
    shutil.copy(copied.work / "runs" / RUN / "run.yaml", other)
    text = page_of(copied)
    assert "Left out: the run folder has no readable metrics.jsonl" in text
    assert "Unfinished runs: begun." in text


def test_names_cannot_break_the_page(trained, tmp_path):
    path, run = tmp_path / "page.html", tmp_path / "a<b>&c"
    shutil.copytree(trained.work / "runs" / RUN, run)
    result = trained.run("report", run, "--out", path)
    assert result.exit_code == 0, result.output
    assert "a<b>" not in path.read_text(encoding="utf-8")
    assert "a&lt;b&gt;&amp;c" in path.read_text(encoding="utf-8")


def test_without_a_finished_run_there_is_one_sentence(tmp_path, one_sentence):
    project = Project(write_project(tmp_path))
    one_sentence(project.run("report"), "no finished run", "sedmtl train")


def test_a_page_that_cannot_be_written_is_one_sentence(trained, tmp_path, one_sentence):
    (tmp_path / "file").write_text("")
    one_sentence(trained.run("report", "--out", tmp_path / "file" / "x.html"), "cannot write")
    one_sentence(trained.run("report", "--out", tmp_path), "cannot write", "it is a folder")


def test_sounds_stop_before_the_page_is_too_large(trained, reported, tmp_path, monkeypatch):
    sounds = re.findall(r'data:audio[^"]+', reported[1])
    limit = sum(map(len, sounds)) // 2
    monkeypatch.setattr(page, "MAX_SOUND_BYTES", limit)
    trained.run("report", "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert 0 < text.count("<audio") < 6
    assert text.count("<audio") + text.count("the page has reached its size limit") == 6
    assert sum(map(len, re.findall(r'data:audio[^"]+', text))) <= limit


def test_the_best_of_many_networks_of_each_store_is_shown():
    few = networks_of([recipe_of(seed=seed) for seed in range(MAX_DETAILED)])
    assert choose_detailed(few) == few
    recipes = [recipe_of(seed=seed, data=data) for seed in range(2) for data in ("snr_0", "snr_10")]
    many = networks_of(recipes)
    detailed = choose_detailed(many)
    assert [network.row.recipe["data"] for network in detailed] == ["snr_0", "snr_10"]
    for network in detailed:
        rivals = [n for n in many if n.row.recipe["data"] == network.row.recipe["data"]]
        assert network.row.metrics["micro_p"].mean == max(
            n.row.metrics["micro_p"].mean for n in rivals
        )


def test_networks_that_differ_in_alpha_or_epochs_have_names_of_their_own():
    recipes = [recipe_of(), recipe_of(alpha=0.01), recipe_of(epochs=20), recipe_of(model="gap")]
    names = [network.name for network in networks_of([*recipes, recipe_of(data="snr_0")])]
    assert sorted(names) == [
        "2apae/8", "2apae/8, α 0.001, epochs 20", "2apae/8, α 0.001, epochs 50",
        "2apae/8, α 0.01, epochs 50", "gap/8",
    ]  # fmt: skip


def test_curves_of_fixed_and_random_onsets_are_pictures_of_their_own(tmp_path):
    rows = tabulate([scored(1, onsets=rule, model=model)
                     for model in ("gap", "2apae") for rule in ("random", "fixed")])  # fmt: skip
    for rule, (data, figure) in zip(("fixed", "random"), plots.score_curves(rows), strict=True):
        assert data.onsets == rule
        texts = figure.axes[0].get_legend().get_texts()
        names = [text.get_text().split("  ", 1)[1] for text in texts]
        assert names == ["2apae/8", "gap/8"]
    plots.draw_score_curves(tmp_path, rows)
    assert visible(tmp_path) == {"psds_snr_10.png", "psds_snr_10_random.png"}


def test_clips_are_judged_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    target, score = rng.random((20, 6)) < 0.4, rng.random((20, 6))
    target[:, 0] = True
    precisions, entropies = clips.judge(scores_of(target, score))
    score = score.astype(np.float32)
    for row in range(20):
        precision = average_precision_score(target[row], score[row])
        assert precisions[row] == pytest.approx(precision)
        entropy = log_loss(target[row], score[row].astype(float), labels=[False, True])
        assert entropies[row] == pytest.approx(entropy, rel=1e-5)


def test_a_score_of_zero_or_one_has_a_finite_cross_entropy():
    _, entropies = clips.judge(scores_of([[1, 0]], [[0.0, 1.0]]))
    assert entropies[0] == pytest.approx(-np.log(1e-7))


def test_the_best_rank_their_classes_first_and_ties_go_by_cross_entropy():
    target = [[1, 0]] * 7 + [[0, 0]]
    first = [0.6, 0.9, 0.8, 0.2, 0.1, 0.3, 0.7, 0.5]  # from 0.5 on the true class is first
    score = [[each, 1 - each] for each in first]
    best, worst = clips.choose([run_of(scores_of(target, score))])
    assert [pick.row for pick in best] == [1, 2, 6]
    assert [pick.row for pick in worst] == [4, 3, 5]


@pytest.mark.parametrize("n", range(8))
def test_no_clip_is_among_the_best_and_the_worst(n):
    scores = scores_of(np.ones((n, 2)), np.linspace(0.1, 0.9, 2 * n).reshape(n, 2))
    best, worst = clips.choose([run_of(scores)])
    assert len(best) + len(worst) == min(n, 2 * clips.N_EACH)
    assert not {pick.row for pick in best} & {pick.row for pick in worst}


def test_the_shown_clip_is_the_scored_one(trained):
    run = trained.work / "runs" / RUN
    card, scores = load_card(run), read_scores(run / "scores.h5")
    # A class with all frames above the threshold is detected from start to end.
    settings = PostProcessing(threshold=(2.0, 0.5, 2.0))
    frame = np.zeros_like(scores.frame)
    frame[:, 1] = 0.75
    card = replace(card, postprocessing=settings)
    shown_run = run_of(replace(scores, frame=frame), card=card)
    shown = clips.picture(clips.Pick(shown_run, 2, 1.0, 0.1), None)
    assert [span.label for lane in shown["detected"] for span in lane] == [scores.classes[1]]
    edges_s = scores.frame_edges_s
    (span,) = shown["detected"][0]
    assert span.left == pytest.approx(100 * edges_s[0] / scores.duration_s, abs=0.01)
    assert span.width == pytest.approx(100 * np.ptp(edges_s) / scores.duration_s, abs=0.01)
    true = {c["name"] for c in shown["classes"] if c["is_true"]}
    assert true == {scores.classes[i] for i in np.flatnonzero(scores.target[2])}
    ranked = sorted(shown["classes"], key=lambda c: -c["score"])
    assert [c["rank"] for c in ranked] == sorted(c["rank"] for c in ranked)
    assert shown["spectrum"] is None


def test_predictions_of_tasks_are_shown_as_the_detector_gives_them(copied):
    names = ("denoise", "separate", "count", "active")
    tasks = [word for name in names for word in ("--task", name)]
    small = ("--model", "pooled", "--width", 2, "--alpha", 0, "--epochs", 1, "--name", "tasks")
    assert copied.run("train", "--fold", 1, *small, *tasks).exit_code == 0
    stores = {kind: copied.work / kind / "snr_20.h5" for kind in ("features", "mixtures")}
    best, _ = clips.choose(score_runs(copied.work / "runs", ["tasks"]))
    logmels = clips.read_stored(stores["features"], "logmel", best)
    found = predict_tasks(stores["features"], best, logmels)
    detector = Detector.load(copied.work / "runs" / "tasks", with_heads=True)
    sounds = clips.read_stored(stores["mixtures"], "waveform", best)
    for tasks_of_clip, sound_of_clip in zip(found, sounds, strict=True):
        logmel = detector.network.logmel(sound_of_clip[None])
        output = detector.network.activations(logmel)
        standardised = detector.card.build_standardiser()(logmel)
        expected = TaskPredictions.of(detector.card, standardised, output)
        for field in ("denoised", "masks", "count", "active"):
            values = getattr(tasks_of_clip, field)
            np.testing.assert_allclose(values, getattr(expected, field), atol=1e-3)
    text = page_of(copied)
    n_shown = text.count("Log-mel without the scene</p>")
    assert n_shown == text.count("Probability that any event sounds</p>") == 2 * clips.N_EACH
    assert text.count('<p class="faint what">Mask of') == 2 * n_shown


def test_true_classes_are_shown_before_likelier_ones_and_the_rest_is_counted(trained, monkeypatch):
    monkeypatch.setattr(clips, "MAX_CLASSES", 1)
    run = trained.work / "runs" / RUN
    scores = read_scores(run / "scores.h5")
    row = int(np.flatnonzero(scores.target.sum(axis=1) < 3)[0])
    score = np.where(scores.target == 1, 0.1, 0.9).astype(np.float32)
    scores = replace(scores, score={"honest": score}, frame=np.ones_like(scores.frame))
    card = replace(load_card(run), postprocessing=PostProcessing(threshold=(0.5,) * 3))
    shown = clips.picture(clips.Pick(run_of(scores, card=card), row, 0.3, 2.0), None)
    assert [strip["is_true"] for strip in shown["strips"]] == [True]
    assert sum(map(len, shown["detected"])) == 1
    assert shown["n_not_shown"] == 2


def test_a_network_is_confused_by_the_thresholds_of_each_fold(trained):
    card = load_card(trained.work / "runs" / RUN)
    target, score = np.array([[1, 0], [0, 1]]), np.array([[0.6, 0.6], [0.6, 0.6]])
    cards = [replace(card, tag_threshold=(0.5, 0.9)), replace(card, tag_threshold=(0.9, 0.9))]
    runs = [run_of(scores_of(target, score), card=card) for card in cards]
    found = network_of(*runs).confusion()
    assert found.n_tagged.tolist() == [[1, 0], [1, 0]]
    assert found.n_clips.tolist() == [[2, 2], [2, 2]]


def test_a_map_has_a_pixel_per_value_in_the_colour_of_its_level():
    levels = np.random.default_rng(0).integers(256, size=(7, 11))
    values = -3 + (levels + 0.5) / 64  # from -3 to 1
    read = imread(io.BytesIO(plots.encode_map(values, -3, 1, "magma")))
    colours = np.round(255 * read[..., :3]).astype(int)
    np.testing.assert_allclose(colours, plots.colours("magma")[levels], atol=1)


@pytest.mark.parametrize(("rate", "kind"), [(32_000, "audio/mpeg"), (10_000, "audio/wav")])
def test_a_sound_is_mp3_if_mp3_supports_its_rate(rate, kind):
    t = np.arange(rate) / rate
    made = sound(0.3 * np.sin(2 * np.pi * 440 * t).astype(np.float32), rate, is_small=True)
    head, _, content = made.partition(",")
    heard, found_rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert (head, found_rate) == (f"data:{kind};base64", rate)
    spectrum = np.abs(np.fft.rfft(heard[:rate]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.58, 0.66, [0.58, 0.6, 0.62, 0.64, 0.66]),
     (1, 50, [0, 10, 20, 30, 40, 50]), (1, 1, [1, 1.2, 1.4, 1.6, 1.8, 2])],
)  # fmt: skip
def test_ticks_are_round_and_span_the_values(low, high, expected):
    assert round_ticks(low, high, 5) == pytest.approx(expected)


def test_curves_are_drawn_where_their_values_are():
    records = [{"epoch": e, "loss": loss, "validation": {"micro_p": v}, "held_out": {"micro_p": h}}
               for e, loss, v, h in ((1, 2.0, 0.0, 0.5), (2, 1.0, 1.0, float("nan")),
                                     (3, 0.0, 0.5, 1.0))]  # fmt: skip
    (network,) = networks_of([recipe_of()])
    loss, micro_p = learning.charts_of(replace(network, records=[records]))
    frame = learning.Chart
    middle = (frame.left + frame.right) / 2
    assert loss.lines[0].points == [
        (frame.left, frame.top), (middle, (frame.top + frame.bottom) / 2),
        (frame.right, frame.bottom),
    ]  # fmt: skip
    validation, held_out = micro_p.lines
    assert len(validation.points) == 3
    assert len(held_out.points) == 2  # NaN is left out
    assert micro_p.dots == [(frame.left, frame.bottom)]  # epoch 1 was chosen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_it_fits_the_screen_without_an_error(driver, reported, width, scheme):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get(reported[0].as_uri())
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    unloaded = "return [...document.images].filter(i => !i.naturalWidth).length"
    assert driver.execute_script(unloaded) == 0
    assert driver.get_log("browser") == []


def test_in_a_browser_the_sounds_play_and_printing_unfolds_everything(driver, reported):
    driver.get(reported[0].as_uri())
    duration = (
        "const done = arguments[0], audio = document.querySelector('audio');"
        "audio.onloadedmetadata = () => done(audio.duration);"
        "audio.onerror = () => done(audio.error.message);"
        "audio.preload = 'auto'; audio.load();"
    )
    assert driver.execute_async_script(duration) == pytest.approx(2.0, abs=0.1)
    folded = driver.find_elements(By.TAG_NAME, "details")
    assert folded
    assert not any(each.get_attribute("open") for each in folded)
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert all(each.get_attribute("open") for each in folded)
