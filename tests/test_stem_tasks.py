"""The tasks that learn from stems: their heads and losses, and what a run keeps."""

from __future__ import annotations

import math

import pytest
import torch

from sedmtl.features.targets import CLASS_MELS, CLEAN
from sedmtl.logmel import FLOOR
from sedmtl.metrics.spectral import DB
from sedmtl.models import build_model
from sedmtl.models.class_masks import STRIDE, at_frames, share
from sedmtl.models.heads import Sizes
from sedmtl.models.registry import settings_class
from sedmtl.runtime.errors import SedmtlError
from sedmtl.training.batches import RAW, Batch
from sedmtl.training.tasks.denoise import EXACT, SILENT, Denoise
from sedmtl.training.tasks.separate import TOLERANCE, Separate

B, C, T, F = 2, 3, 31, 16
SIZES = Sizes(C, T, F)
LOUD = 0.0  # the loudest bin of the mixtures below, natural logarithm
LIMIT = LOUD - 60 / DB


def task_of(kind, n_classes=C):
    torch.manual_seed(0)
    return kind(settings_class("pooled")(width=2), Sizes(n_classes, T, F))


# The heads.


@pytest.mark.parametrize("model", ["2apae", "pooled", "crnn"])
@pytest.mark.parametrize("kind", [Denoise, Separate])
def test_a_head_draws_on_the_grid_of_the_log_mel_and_teaches_the_encoder(model, kind):
    torch.manual_seed(0)
    network, task = build_model(model, C, T, F, width=2), kind(settings_class(model)(2), SIZES)
    made = task(network(torch.randn(B, T, F), with_stages=True))
    assert made.shape == ((B, T, F) if kind is Denoise else (B, C, T // STRIDE, F))
    assert made.min() >= 0
    made.sum().backward()
    assert all(weight.grad is not None for weight in task.parameters())
    assert next(network.encoder.parameters()).grad.any()


def test_networks_without_stages_are_told_apart_and_refused():
    known = {name: settings_class(name) for name in ("2apae", "pooled", "crnn", "gap", "atrous")}
    fit = {name: Denoise.fits(settings) for name, settings in known.items()}
    expected = {"2apae": True, "pooled": True, "crnn": True, "gap": False, "atrous": False}
    assert fit == expected == {name: Separate.fits(each) for name, each in known.items()}
    with pytest.raises(SedmtlError, match="expected 2apae, pooled or crnn"):
        Denoise(settings_class("gap")(), SIZES)


def test_stages_are_given_only_on_request_and_change_nothing():
    network = build_model("pooled", C, T, F, width=2).eval()
    logmel = torch.randn(B, T, F)
    without, with_stages = network(logmel), network(logmel, with_stages=True)
    assert without.stages == ()
    channels = settings_class("pooled")(2).stage_channels
    assert tuple(stage.shape[1] for stage in with_stages.stages) == (1, *channels)
    torch.testing.assert_close(with_stages.stages[0][:, 0], logmel, rtol=0, atol=0)
    torch.testing.assert_close(without.clip, with_stages.clip, rtol=0, atol=0)


# The loss of `denoise`.


def denoise_loss(left, clean, mixture):
    """The loss if the task turns the log-mel `mixture` into `left`; all (T, F)."""
    batch = Batch(torch.arange(1), {RAW: mixture[None], CLEAN: clean[None]}, torch.zeros(1, C))
    task = task_of(Denoise)
    return task.loss((mixture - left)[None], task.target(batch), "none").item()


@pytest.fixture
def noisy():
    """A mixture with only the scene in its upper half, and its clean events."""
    mixture = torch.full((T, F), LOUD)
    clean = torch.full((T, F), math.log(FLOOR))
    clean[:, : F // 2] = -1.0
    return mixture, clean


def distance(natural):
    """The loss of the same difference in all bins."""
    return math.hypot(natural, EXACT) - EXACT


def test_the_clean_log_mel_costs_nothing_and_no_depth_of_silence_does(noisy):
    mixture, clean = noisy
    silent = clean < LIMIT
    for depth in (0.0, 1.0, 10.0):
        assert denoise_loss(torch.where(silent, LIMIT - depth, clean), clean, mixture) < 1e-6
    above = denoise_loss(torch.where(silent, LIMIT + 2, clean), clean, mixture)
    assert above == pytest.approx(SILENT * distance(2))


def test_the_loss_is_the_distance_over_audible_bins_however_few(noisy):
    mixture, clean = noisy
    few = clean.clone()
    few[1:] = math.log(FLOOR)  # only one frame is audible
    for each in (clean, few):
        off_by_2 = torch.where(each < LIMIT, LIMIT, each - 2)
        assert denoise_loss(off_by_2, each, mixture) == pytest.approx(distance(2), rel=1e-5)
        mixed = denoise_loss(mixture, each, mixture)
        assert mixed == pytest.approx(distance(1) + SILENT * distance(LOUD - LIMIT), rel=1e-5)


def test_an_exact_prediction_has_a_slope_that_is_finite(noisy):
    mixture, clean = noisy
    attenuation = (mixture - clean)[None].requires_grad_()
    batch = Batch(torch.arange(1), {RAW: mixture[None], CLEAN: clean[None]}, torch.zeros(1, C))
    task = task_of(Denoise)
    task.loss(attenuation, task.target(batch), "mean").backward()
    assert attenuation.grad.isfinite().all()


def test_clips_whose_events_are_silent_have_a_finite_loss(noisy):
    mixture, _ = noisy
    silence = torch.full((T, F), math.log(FLOOR))
    assert denoise_loss(torch.full((T, F), LIMIT - 1), silence, mixture) == 0
    assert 0 < denoise_loss(mixture, silence, mixture) < 30


# The loss of `separate`.


def batch_of(mels, present, mixture):
    """A batch of one clip: mel magnitudes (K, T, F) of its classes, in the order of the classes."""
    arrays = {RAW: (mixture + FLOOR).log()[None], CLASS_MELS: mels[None].half()}
    return Batch(torch.arange(1), arrays, torch.tensor([present]).float())


@pytest.fixture
def sounds():
    """Magnitudes of two sounds and a scene, each alone in ten frames."""
    first, second, scene = torch.zeros(3, T, F)
    first[:10], second[10:20], scene[20:30] = 1.0, 0.25, 0.5
    return first, second, scene


def separate_loss(masks, batch):
    """The loss of masks (C, T, F) that are constant within each pooled frame."""
    task, coarse = task_of(Separate, len(masks)), masks[None, :, 1::STRIDE]
    return task.loss(coarse, task.target(batch), "none").item()


def test_masks_of_the_true_classes_cost_nothing_in_whatever_row_they_are_stored(sounds):
    first, second, scene = sounds
    batch = batch_of(torch.stack([first, second, 0 * first]), [1, 0, 1], first + second + scene)
    masks = torch.stack([(first > 0).float(), 0 * first, (second > 0).float()])
    assert separate_loss(masks, batch) < 1e-4
    assert separate_loss(masks[[2, 1, 0]], batch) > math.log(1 / TOLERANCE)


def test_masks_that_take_nothing_cost_as_much_at_any_level(sounds):
    first, second, scene = sounds
    for level in (1.0, 0.05):
        mels = level * torch.stack([first, second])
        batch = batch_of(mels, [1, 0, 1], level * (first + second + scene))
        loss = separate_loss(torch.zeros(C, T, F), batch)
        assert loss == pytest.approx(math.log1p(1 / TOLERANCE), rel=1e-3)


def test_the_classes_that_sound_share_their_bins_as_they_do_in_use(sounds):
    first, second, scene = sounds
    torch.manual_seed(0)
    mels, masks = torch.stack([first, second]), torch.rand(2, 1, F).expand(-1, T, -1)
    mixture = first + second + scene
    frames = slice(0, T // STRIDE * STRIDE)  # the remaining frames have no mask
    errors = (share(masks) * mixture - mels)[:, frames].square().sum(dim=(1, 2))
    expected = torch.log1p(errors / mels.square().sum(dim=(1, 2)) / TOLERANCE).mean().item()
    assert separate_loss(masks, batch_of(mels, [1, 1], mixture)) == pytest.approx(
        expected, rel=1e-3
    )


def test_a_silent_class_costs_what_it_takes_of_the_mixture(sounds):
    """It takes half of the sound, shared with an equally sure class, and all of the scene."""
    first, _, scene = sounds
    for n_classes in (2, 5, 41):
        present = [1] + [0] * (n_classes - 1)
        masks = torch.zeros(n_classes, T, F)
        masks[0], masks[1] = first > 0, 1.0
        loss = separate_loss(masks, batch_of(first[None], present, first + scene))
        taken = (10 * 0.5**2 + 10 * 0.5**2) / (10 * 1.0**2 + 10 * 0.5**2)
        assert loss == pytest.approx(taken / (n_classes - 1), rel=1e-2)


def test_a_class_whose_events_are_silent_counts_as_silent(sounds):
    first, _, scene = sounds
    batch = batch_of(torch.stack([first, 0 * first]), [1, 1, 0], first + scene)
    masks = torch.stack([(first > 0).float(), 0 * first, 0 * first])
    assert separate_loss(masks, batch) < 1e-4


def test_masks_cover_every_frame_of_the_log_mel():
    masks = torch.rand(B, C, T // STRIDE, F)
    spread = at_frames(masks, T)
    assert spread.shape == (B, C, T, F)
    torch.testing.assert_close(spread[:, :, 4], masks[:, :, 2])
    torch.testing.assert_close(spread[:, :, 5], masks[:, :, 2])
    torch.testing.assert_close(spread[:, :, -1], masks[:, :, -1])


@pytest.mark.parametrize("kind", [Denoise, Separate])
def test_a_process_without_a_clip_of_a_batch_adds_nothing(kind):
    arrays = {RAW: torch.zeros(0, T, F), CLEAN: torch.zeros(0, T, F)}
    arrays[CLASS_MELS] = torch.zeros(0, 2, T, F, dtype=torch.float16)
    batch, task = Batch(torch.arange(0), arrays, torch.zeros(0, C)), task_of(kind)
    predicted = torch.zeros(0, *([T] if kind is Denoise else [C, T // STRIDE]), F)
    assert task.loss(predicted, task.target(batch), "sum") == 0
