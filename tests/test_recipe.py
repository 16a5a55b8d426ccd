"""Recipes: the learning rate, and the names and records of runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sedmtl.training.config import TrainConfig
from sedmtl.training.optimiser import WARM_UP, build_schedule
from sedmtl.training.recipe import RECIPES


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
    config = config_of(**{**RECIPES["strong"], "remix": {"snr_db": [0, 20]}})
    again = TrainConfig.of(config.plain())
    assert again == config
    assert again.remix.snr_db == (0, 20)


def test_the_record_of_a_paper_run_has_no_recipe():
    assert not {"remix", "supervision", "schedule"} & config_of().plain().keys()


def test_runs_of_different_recipes_have_different_names():
    plain = config_of()
    strong = config_of(schedule="cosine", remix={})
    assert strong.name == f"{plain.name}_strong"
    assert config_of(schedule="cosine").name == f"{plain.name}_schedulecosine"
    assert strong.cross_validation != plain.cross_validation


def test_own_recordings_mixed_with_each_other_are_another_run():
    strong = config_of(data="clips", schedule="cosine")
    mixed = config_of(data="clips", schedule="cosine", remix={})
    assert strong.name == "2apae_clips_fold1_alpha0.001_seed0_strong"
    assert mixed.name == f"{strong.name}_remix"
