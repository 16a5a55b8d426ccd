"""`--balanced` and `--class-weights`: rare classes count as much as common ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from sedmtl.config import Remix
from sedmtl.logmel import Standardiser
from sedmtl.store import ClipTable, EventTable
from sedmtl.store.windows import WindowTable
from sedmtl.training.bags import Bags
from sedmtl.training.batches import BatchLoader
from sedmtl.training.class_balance import ClassWeights, balanced, chances
from sedmtl.training.clip_remixer import ClipRemixer
from sedmtl.training.config import TrainConfig
from sedmtl.training.loop import Trainer
from sedmtl.training.losses import detection_loss
from sedmtl.training.split import split_rows

CPU = torch.device("cpu")
CONFIG = TrainConfig.of(
    {"data": "clips", "fold": 1, "model": "pooled", "width": 2, "alpha": 0, "epochs": 4,
     "batch_size": 7, "balanced": True, "class_weights": True}
)  # fmt: skip
COUNTS = [60, 25, 3]
"""Clips of each of 3 classes; 12 further clips have none."""


def one_class_each():
    target = np.zeros((100, 3), np.uint8)
    for label, first in enumerate(np.cumsum([0, *COUNTS[:-1]])):
        target[first : first + COUNTS[label], label] = 1
    return target


TARGET = one_class_each()
ROWS = np.arange(100)


def test_every_class_is_drawn_equally_often_and_so_are_clips_without_one():
    for epoch in (1, 2, 7):
        drawn = balanced(ROWS, TARGET, seed=3, epoch=epoch)
        assert len(drawn) == 100
        assert TARGET[drawn].sum(axis=0).tolist() == [25, 25, 25]


def test_over_the_epochs_each_clip_of_a_class_is_drawn_equally_often():
    drawn = np.concatenate([balanced(ROWS, TARGET, 0, epoch) for epoch in range(1, 25)])
    n_times = np.bincount(drawn, minlength=100)
    for holds in (*TARGET.T.astype(bool), ~TARGET.any(axis=1)):
        assert np.ptp(n_times[holds]) <= 1
        assert n_times[holds].sum() == 600


def test_an_epoch_follows_from_seed_and_number_alone_and_others_differ():
    of = {(seed, n): balanced(ROWS, TARGET, seed, n) for seed in (0, 1) for n in (5, 6)}
    np.testing.assert_array_equal(of[0, 5], balanced(ROWS, TARGET, 0, 5))
    assert len({each.tobytes() for each in of.values()}) == 4


def test_only_requested_rows_are_drawn_and_a_missing_class_takes_no_turn():
    rows = np.array([1, 4, 90, 61, 62])  # no clip of the third class
    drawn = balanced(rows, TARGET, 0, 1)
    assert set(drawn) <= set(rows)
    assert TARGET[drawn].sum(axis=0).tolist()[2] == 0
    assert np.bincount(drawn)[90] in (1, 2)  # one of three groups, five turns


def test_chances_make_classes_equally_likely_and_add_up_for_clips_of_several_classes():
    target = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], np.uint8)
    # Three groups: the first class, the second class, the clip without any.
    np.testing.assert_allclose(chances(target), np.array([1 / 3, 1 / 3, 4 / 3, 1]) / 3)


def test_remixed_clips_are_drawn_with_their_chances():
    class Clips:
        clips = ClipTable(
            [""] * 100, TARGET, *([np.ones(100, np.uint8)] * 2), [""] * 100, EventTable.empty()
        )

    given = chances(TARGET)
    remix = Remix(clips_per_mixture=(1, 1))
    remixer = ClipRemixer(Clips(), ROWS, remix, 2000, 0, CPU, chances=given)
    drawn = np.array([remixer.draw(1, number)[0] for number in range(2000)])
    share = TARGET[drawn].mean(axis=0)
    np.testing.assert_allclose(share, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / 2000))


def test_weights_are_scikit_learns_balanced_ones_of_each_class():
    weights = ClassWeights.of(torch.from_numpy(TARGET)).at(torch.from_numpy(TARGET))
    for label in range(3):
        expected = compute_sample_weight("balanced", TARGET[:, label])
        np.testing.assert_allclose(weights[:, label], expected, rtol=1e-6)


def test_a_class_in_all_clips_or_in_none_is_not_weighted():
    target = torch.tensor([[1, 0, 1], [1, 0, 0]])
    assert ClassWeights.of(target).at(target)[:, :2].tolist() == [[1, 1], [1, 1]]


def test_the_weighted_loss_is_that_of_scikit_learn():
    score = torch.rand(100, 3, generator=torch.Generator().manual_seed(0))
    target = torch.from_numpy(TARGET).float()
    weight = ClassWeights.of(target).at(target)
    scores, weights = score.double().numpy(), weight.numpy()
    expected = np.mean(
        [log_loss(TARGET[:, c], scores[:, c], sample_weight=weights[:, c]) for c in range(3)]
    )
    assert detection_loss(score, target, "mean", weight).item() == pytest.approx(expected, rel=1e-6)


def trainer_of(config=CONFIG):
    rng = np.random.default_rng(1)
    logmel = rng.normal(size=(100, 12, 8)).astype(np.float32)
    fold, validation = ((ROWS % n == 0).astype(np.uint8) for n in (4, 5))
    names = [""] * 100
    table = ClipTable(names, TARGET, 2 - fold, validation, names, EventTable.empty())
    torch.manual_seed(config.seed)
    network = config.network.build(3, 12, 8)
    loader = BatchLoader({"logmel": lambda rows: logmel[rows]}, TARGET, CPU, resident=False)
    standardiser = Standardiser(np.zeros(8), np.ones(8))
    split = split_rows(table, config.fold)
    return Trainer(network, {}, {"logmel": standardiser}, loader, TARGET, split, config, CPU)


@pytest.mark.slow
def test_an_interrupted_run_resumes_as_if_uninterrupted():
    whole, first, second = trainer_of(), trainer_of(), trainer_of()
    list(whole.fit(lambda _: None))
    for _ in zip(range(2), first.fit(lambda _: None), strict=False):
        pass
    second.restore(first.state())
    list(second.fit(lambda _: None))
    for key, value in whole.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[key], value, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["balanced", "class_weights"])
def test_either_option_changes_the_losses(option):
    plain = replace(CONFIG, balanced=False, class_weights=False, epochs=1)
    losses = [
        next(trainer_of(config).fit(lambda _: None))["loss"]
        for config in (plain, replace(plain, **{option: True}))
    ]
    assert losses[0] != losses[1]


def test_a_window_remembers_the_mean_of_its_scores_in_the_epoch():
    windows = WindowTable(*np.zeros((3, 2), np.int32), np.array([1.0]))
    bags = Bags(windows, np.ones((1, 1), np.uint8), 0, CPU)
    bags.begin(1)
    for score in (0.25, 0.75):
        bags.remember(torch.tensor([0]), torch.tensor([[score]]))
    bags.end()
    assert bags.known.tolist() == [[0.5], [-1]]


def test_a_run_records_balancing_only_if_requested():
    assert CONFIG.name == "pooled_clips_fold1_alpha0_seed0_weighted_balanced"
    assert TrainConfig.of(CONFIG.plain()) == CONFIG
    assert {"--balanced", "--class-weights"} < set(CONFIG.words())
    plain = replace(CONFIG, balanced=False, class_weights=False)
    assert {"balanced", "class_weights"}.isdisjoint(plain.plain())
