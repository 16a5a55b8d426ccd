"""Predictions of a run's tasks: kept heads, joined over clips, drawn if they exist."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from views import N_FRAMES, N_MELS, inspection_of, view_of

from sedmtl.events import Event
from sedmtl.inference.model_card import ModelCard, read_card
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.task_predictions import TaskPredictions
from sedmtl.models.class_masks import STRIDE
from sedmtl.models.heads import HEADS
from sedmtl.models.registry import settings_class
from sedmtl.report import figures as plots
from sedmtl.report.clip_page import Clip, clip_page

SCENES = ("beach", "metro", "park")
WINDOW, N_SAMPLES = 4, 4 * N_FRAMES


@pytest.fixture(scope="module")
def card():
    return ModelCard(
        network=settings_class("pooled")(width=2), n_frames=N_FRAMES, n_mels=N_MELS,
        classes=("dog", "rain"), sample_rate=40, n_samples=N_SAMPLES,
        features={"window": WINDOW, "hop": WINDOW, "n_mels": N_MELS}, mean=(1.0,) * N_MELS,
        std=(2.0,) * N_MELS, postprocessing=PostProcessing(threshold=(0.5, 0.5)),
        tag_threshold=(0.5, 0.5), training={"alpha": 0.0, "precision": "float32"},
        heads=tuple(HEADS), scenes=SCENES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def predicted(card):
    """Heads with random weights on a network's output, and the standardised log-mel."""
    torch.manual_seed(0)
    logmel = torch.randn(1, N_FRAMES, N_MELS)
    network = card.build_network().eval()
    heads = {name: card.build_head(name).eval() for name in HEADS}
    with torch.inference_mode():
        output = network(logmel, with_stages=True)
        made = {name: head(output) for name, head in heads.items()}
    return TaskPredictions.of(card, logmel, output._replace(tasks=made)), made, logmel[0].numpy()


def test_predictions_are_in_display_units(card, predicted):
    tasks, made, logmel = predicted
    mean, std = np.array(card.mean), np.array(card.std)
    # The denoiser subtracts from the log-mel before standardisation.
    left = (mean + std * logmel) - made["denoise"][0].numpy()
    np.testing.assert_allclose(tasks.denoised, (left - mean) / std, atol=1e-5)
    assert tasks.masks.shape == (2, N_FRAMES, N_MELS)
    np.testing.assert_allclose(tasks.masks[:, ::STRIDE], made["separate"][0].numpy())
    assert tasks.count.shape == tasks.active.shape == made["count"].shape[1:]
    assert tasks.count.min() > 0
    assert 0 < tasks.active.min() <= tasks.active.max() < 1
    assert tasks.scene.sum() == pytest.approx(1)
    assert tasks.likeliest_scenes(1) == [(SCENES[tasks.scene.argmax()], tasks.scene.max())]


def test_the_card_names_the_scenes_and_only_if_it_can_tell_them_apart(card):
    assert read_card(replace(card, classes=list(card.classes)).plain()) == card
    plain = replace(card, classes=["dog", "rain"], heads=(), scenes=()).plain()
    assert not {"heads", "scenes"} & plain.keys(), "as in files of earlier versions"
    for wrong in ({"scenes": []}, {"heads": ["count"]}):
        with pytest.raises(ValueError, match="invalid scenes"):
            read_card({**replace(card, classes=["dog", "rain"]).plain(), **wrong})


def test_consecutive_clips_have_one_curve_and_the_mean_scene(predicted):
    tasks, _, _ = predicted
    n_each = N_FRAMES - 2
    whole = TaskPredictions.joined([tasks, replace(tasks, scene=np.eye(3)[0])], n_each)
    assert len(whole.denoised) == whole.masks.shape[1] == n_each + N_FRAMES
    np.testing.assert_array_equal(whole.masks[:, n_each:], tasks.masks)
    np.testing.assert_array_equal(whole.count, np.tile(tasks.count, 2))
    np.testing.assert_allclose(whole.scene, (tasks.scene + np.eye(3)[0]) / 2)
    assert TaskPredictions.joined([TaskPredictions()] * 2, n_each) == TaskPredictions()


def titles(*views, truth=None):
    figure = plots.figure_3(views, "title", ["class_1", "class_0"], truth)
    return [axis.get_title(loc="left") for axis in figure.axes], figure


def test_a_picture_has_only_the_panels_of_tasks_that_were_learned():
    bare = inspection_of(3)
    some = replace(bare, tasks=TaskPredictions(count=np.ones(N_FRAMES), scene=np.array([0.2, 0.8]),
                                               scenes=("beach", "metro")))  # fmt: skip
    assert not any(title.startswith("8") for title in titles(view_of(bare))[0])
    shown, figure = titles(view_of(some), truth=[Event("class_1", 2.5, 4), Event("class_0", 3, 4)])
    assert [title for title in shown if title[:1] in "89" and title] == [
        "8  count of events", "9  scene: metro 0.80, beach 0.20",
    ]  # fmt: skip
    (axis,) = (each for each in figure.axes if each.get_title("left").startswith("8"))
    count, true = axis.patches
    np.testing.assert_array_equal(count.get_data().values, np.ones(N_FRAMES))
    assert list(true.get_data().values) == [1, 2]
    assert list(true.get_data().edges) == [2.5, 3, 4]


def test_masks_are_those_of_the_classes_whose_attention_is_shown():
    masks = np.random.default_rng(0).random((3, N_FRAMES, N_MELS))
    tasks = TaskPredictions(masks=masks, denoised=inspection_of(3).logmel)
    both = view_of(replace(inspection_of(3), tasks=tasks)), view_of(inspection_of(3))
    shown, figure = titles(*both)
    assert {"8  log-mel without the scene", "9  mask: class_1", "10  mask: class_0"} <= set(shown)
    drawn = [each for each in figure.axes if each.get_title("left") == "9  mask: class_1"]
    np.testing.assert_array_equal(drawn[0].get_images()[0].get_array(), masks[1].T)
    assert drawn[1].texts[0].get_text() == "this network has not learned it"


def test_the_page_shows_them_and_says_what_the_network_learned_from(predicted):
    def page(**changes):
        view = replace(view_of(inspection_of(2)), **changes)
        return clip_page(Clip("a.wav", view, np.ones(800, "f4"), 8_000, [], None))

    bare = page()
    for word in ("Masks", "without the scene", "Activity", "Scene:", "weak labels alone"):
        assert word not in bare
    learned = replace(inspection_of(2), tasks=predicted[0])
    full = page(inspection=learned, known=("times", "stems"))
    assert "when each event sounds and how each event sounds alone" in full
    assert all(f'"{name}":' in full for name in ("denoised", "count", "active", "masks 1"))
    assert full.count("<path d=") == 2
    assert re.search(
        r"<h2>Number of events \(up to [\d.]+\) · Probability that any event sounds<", full
    )
    assert f"Scene: {predicted[0].likeliest_scenes(1)[0][0]}" in full
