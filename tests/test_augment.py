"""Augmentation, averaged weights and the learning rate of a recipe."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sedmtl.training.augment import DB, add_energies, augment, filtered, masked, mixup, roll
from sedmtl.training.batches import PRESENCE, Batch
from sedmtl.training.config import TrainConfig
from sedmtl.training.optimiser import WARM_UP, build_schedule
from sedmtl.training.recipe import RECIPES, Recipe

N, N_FRAMES, N_MELS, N_CLASSES = 16, 20, 8, 3


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    logmel = torch.randn(N, N_FRAMES, N_MELS, generator=random(1))
    presence = (torch.rand(N, N_CLASSES, N_FRAMES, generator=random(2)) < 0.1).byte()
    target = presence.amax(dim=2).float()
    return Batch(torch.arange(N), {"logmel": logmel, PRESENCE: presence}, target)


def test_two_equal_sounds_have_the_level_of_one():
    logmel = torch.randn(4, 3)
    torch.testing.assert_close(add_energies(torch.stack([logmel, logmel])), logmel)


def test_the_energy_of_a_sum_is_the_sum_of_energies():
    parts = torch.randn(3, 5)
    energy = torch.exp(2 * parts).sum(dim=0) / 3
    torch.testing.assert_close(torch.exp(2 * add_energies(parts)), energy)


def test_mixup_of_no_clip_changes_nothing(batch):
    mixed = mixup(batch, 0.0, random())
    torch.testing.assert_close(mixed.logmel, batch.logmel)
    torch.testing.assert_close(mixed.target, batch.target)


def test_mixed_clips_keep_their_labels_and_gain_those_of_another(batch):
    mixed = mixup(batch, 1.0, random())
    assert (mixed.target >= batch.target).all()
    assert mixed.target.sum() > batch.target.sum()
    assert (mixed.arrays[PRESENCE] >= batch.arrays[PRESENCE]).all()
    # Weak labels stay those of the frames.
    torch.testing.assert_close(mixed.arrays[PRESENCE].amax(dim=2).float(), mixed.target)


def test_a_rolled_clip_is_rotated_together_with_its_presence(batch):
    rolled = roll(batch, 1.0, random())
    shifts = set()
    for i in range(N):
        matches = [
            s for s in range(N_FRAMES)
            if torch.equal(torch.roll(batch.logmel[i], s, 0), rolled.logmel[i])
        ]  # fmt: skip
        assert len(matches) == 1
        expected = torch.roll(batch.arrays[PRESENCE][i], matches[0], 1)
        assert torch.equal(expected, rolled.arrays[PRESENCE][i])
        shifts.add(matches[0])
    assert len(shifts) > N // 2


def test_a_roll_stays_within_its_share(batch):
    rolled = roll(batch, 0.1, random())
    near = {tuple(torch.roll(batch.logmel[0], s, 0).flatten().tolist()) for s in range(-2, 3)}
    assert tuple(rolled.logmel[0].flatten().tolist()) in near


def test_filters_change_each_band_of_a_clip_by_one_level(batch):
    change = filtered(batch.logmel, 6.0, random()) - batch.logmel
    torch.testing.assert_close(change, change[:, :1].expand_as(change))
    assert 3 * DB < change.abs().max() <= 6 * DB + 1e-6
    n_levels = [len(torch.unique((each * 1e4).round())) for each in change[:, 0]]
    assert 4 <= max(n_levels) <= 6


def test_masks_hide_runs_of_frames_and_of_mel_bins_up_to_their_share():
    ones = torch.ones(200, N_FRAMES, N_MELS)
    hidden = masked(ones, 0.5, random()) == 0
    n_frames = hidden.all(dim=2).sum(dim=1)
    n_bins = hidden.all(dim=1).sum(dim=1)
    assert 7 < n_frames.max() <= 11
    assert 2 < n_bins.max() <= 5
    for clip in hidden.all(dim=2)[n_frames > 0]:
        inside = torch.nonzero(clip).flatten()
        assert inside[-1] - inside[0] + 1 == len(inside)  # one run


def test_the_generator_decides_all(batch):
    recipe = Recipe(mixup=0.5, roll=0.5, filter_db=6.0)
    first, second = (augment(batch, recipe, random(7)) for _ in range(2))
    torch.testing.assert_close(first.logmel, second.logmel, rtol=0, atol=0)
    assert not torch.equal(first.logmel, augment(batch, recipe, random(8)).logmel)


def test_the_paper_changes_no_clip(batch):
    assert augment(batch, Recipe(), random()) is batch


def config_of(**changes):
    return TrainConfig.of({"data": "snr_10", "fold": 1, "epochs": 4, **changes})


def test_the_cosine_warms_up_and_ends_at_zero():
    config = config_of(schedule="cosine")
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    schedule = build_schedule(optimiser, config, n_steps=100)
    rates = []
    for _ in range(400):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[:WARM_UP] == pytest.approx(np.arange(1, WARM_UP + 1) / WARM_UP)
    assert np.all(np.diff(rates[WARM_UP:]) < 0)
    assert rates[(400 + WARM_UP) // 2] == pytest.approx(0.5)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_a_recipe_is_read_back_from_its_record():
    config = config_of(**{**RECIPES["strong"], "remix": {"snr_db": [0, 20]}, "average": 0.99})
    again = TrainConfig.of(config.plain())
    assert again == config
    assert again.remix.snr_db == (0, 20)


def test_the_record_of_a_paper_run_has_no_recipe():
    assert not {"remix", "supervision", *vars(Recipe())} & config_of().plain().keys()


def test_runs_of_different_recipes_have_different_names():
    plain = config_of()
    strong = config_of(schedule="cosine", mixup=0.25, remix={})
    assert strong.name == f"{plain.name}_schedulecosine_mixup0.25_remix"
    assert strong.cross_validation != plain.cross_validation


@pytest.mark.parametrize("bad", [{"mixup": 1.5}, {"average": -0.1}, {"filter_db": -3.0}])
def test_a_value_out_of_its_range_is_refused(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} should be from 0 to"):
        Recipe(**bad)
