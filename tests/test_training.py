from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sedmtl.logmel import Standardiser
from sedmtl.metrics.clip import ClipMetrics
from sedmtl.models import build_model
from sedmtl.models.autoencoder import TwoStepAttentionSettings
from sedmtl.models.heads import Sizes
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import counted
from sedmtl.store import ClipTable, EventTable
from sedmtl.training.batches import BatchLoader
from sedmtl.training.config import SELECTIONS, TrainConfig
from sedmtl.training.loop import Trainer
from sedmtl.training.losses import Objective
from sedmtl.training.split import split_rows
from sedmtl.training.tasks import build_tasks

pytestmark = pytest.mark.slow

N_CLIPS, N_FRAMES, N_MELS, N_CLASSES = 40, 12, 8, 3
SIZES = Sizes(N_CLASSES, N_FRAMES, N_MELS)
RECIPE = TrainConfig.of(
    {"data": "snr_10", "fold": 1, "width": 2, "epochs": 3, "batch_size": 7, "seed": 5}
)


@pytest.fixture(scope="module")
def clips():
    """Clips with learnable classes: class c is loud in its own mel bins."""
    rng = np.random.default_rng(1)
    target = (rng.random((N_CLIPS, N_CLASSES)) < 0.5).astype(np.uint8)
    logmel = rng.normal(size=(N_CLIPS, N_FRAMES, N_MELS)).astype(np.float32)
    for c in range(N_CLASSES):
        logmel[:, :, 2 * c] += 4 * target[:, c, None]
    return logmel, target, (np.arange(N_CLIPS) % 4 + 1).astype(np.uint8)


def table_of(target, fold):
    """A store's table of the clips; every fifth is for inner validation."""
    n = len(fold)
    validation = (np.arange(n) % 5 == 0).astype(np.uint8)
    return ClipTable([""] * n, target, fold, validation, [""] * n, EventTable.empty())


def trainer_of(clips, recipe=RECIPE):
    logmel, target, fold = clips
    split = split_rows(table_of(target, fold), recipe.fold)
    torch.manual_seed(recipe.seed)
    network = build_model("2apae", N_CLASSES, N_FRAMES, N_MELS, recipe.network.width)
    standardiser = Standardiser.fit([logmel[split.training_folds]])
    cpu = torch.device("cpu")
    loader = BatchLoader({"logmel": lambda rows: logmel[rows]}, target, cpu, resident=False)
    tasks = build_tasks(recipe.tasks, recipe.network, SIZES)
    return Trainer(network, tasks, {"logmel": standardiser}, loader, target, split, recipe, cpu)


def weights_of(trainer):
    return {key: value.clone() for key, value in trainer.network.state_dict().items()}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for key in left:
        torch.testing.assert_close(left[key], right[key], rtol=0, atol=0)


def without_times(history):
    return [
        {key: value for key, value in record.items() if not key.startswith("seconds")}
        for record in history
    ]


def run_to_end(trainer):
    return list(trainer.fit(lambda _: None))


def test_the_same_seed_gives_the_same_losses_and_weights(clips):
    first, second = trainer_of(clips), trainer_of(clips)
    losses = [[record["loss"] for record in run_to_end(t)] for t in (first, second)]
    assert losses[0] == losses[1]
    assert_same(weights_of(first), weights_of(second))


def test_another_seed_gives_other_losses(clips):
    losses = [run_to_end(trainer_of(clips, replace(RECIPE, seed=s)))[0]["loss"] for s in (5, 6)]
    assert losses[0] != losses[1]


def test_resuming_from_a_saved_state_is_as_if_uninterrupted(clips, tmp_path):
    whole = trainer_of(clips)
    run_to_end(whole)
    stopped = trainer_of(clips)
    epochs = stopped.fit(lambda _: None)
    next(epochs)
    torch.save(stopped.state(), tmp_path / "last.pt")
    epochs.close()
    resumed = trainer_of(clips)
    resumed.restore(torch.load(tmp_path / "last.pt", weights_only=True))
    run_to_end(resumed)
    assert_same(weights_of(whole), weights_of(resumed))
    for selection in SELECTIONS:
        assert_same(whole.best[selection].weights, resumed.best[selection].weights)
    assert without_times(resumed.history) == without_times(whole.history)


def test_training_learns_audible_classes(clips):
    trainer = trainer_of(clips, replace(RECIPE, epochs=25, lr=1e-2))
    records = run_to_end(trainer)
    prior = trainer._target[trainer.split.held_out].mean()
    assert records[-1]["loss"] < records[0]["loss"]
    assert max(record["held_out"]["micro_p"] for record in records) > prior + 0.2


def test_each_selection_keeps_the_epoch_that_is_best_on_its_own_part(clips):
    trainer = trainer_of(clips, replace(RECIPE, epochs=6))
    records = run_to_end(trainer)
    for selection, part in SELECTIONS.items():
        scores = [record[part]["micro_p"] for record in records]
        assert trainer.best[selection].epoch == 1 + int(np.argmax(scores))
        assert trainer.best[selection].micro_p == max(scores)


def test_kept_scores_are_those_of_the_kept_weights(clips):
    trainer = trainer_of(clips, replace(RECIPE, epochs=4))
    run_to_end(trainer)
    best = trainer.best["honest"]
    trainer.network.load_state_dict(best.weights)
    score = trainer.score(trainer.split.held_out)
    np.testing.assert_array_equal(score, best.held_out_score.numpy())


def test_the_rate_falls_by_ten_when_validation_stalls(clips, monkeypatch):
    trainer = trainer_of(clips, replace(RECIPE, epochs=8))
    same = ClipMetrics(micro_p=0.5, macro_p=0.5, auc=0.5, n_classes_scored=3)
    monkeypatch.setattr("sedmtl.training.loop.evaluate", lambda *_: same)
    rates = [record["lr"] for record in run_to_end(trainer)]
    assert rates[:5] == [1e-3] * 5
    assert rates[5:] == pytest.approx([1e-4] * 3)


def test_the_held_out_fold_does_not_affect_the_weights(clips):
    """Other labels there change only the scores reported on it."""
    logmel, target, fold = clips
    flipped = target.copy()
    flipped[fold == 1] = 1 - flipped[fold == 1]
    trainers = [trainer_of((logmel, t, fold)) for t in (target, flipped)]
    records = [run_to_end(trainer) for trainer in trainers]
    assert_same(weights_of(trainers[0]), weights_of(trainers[1]))
    assert_same(trainers[0].best["honest"].weights, trainers[1].best["honest"].weights)
    assert [r["validation"] for r in records[0]] == [r["validation"] for r in records[1]]
    assert [r["held_out"] for r in records[0]] != [r["held_out"] for r in records[1]]


def test_every_clip_is_counted(clips):
    trainer, counted = trainer_of(clips), []
    list(trainer.fit(counted.append))
    assert sum(counted) == RECIPE.epochs * N_CLIPS


def test_without_alpha_the_decoder_does_not_learn(clips):
    trainer = trainer_of(clips, replace(RECIPE, tasks={}))
    before = {key: value.clone() for key, value in trainer.network.decoder.state_dict().items()}
    records = run_to_end(trainer)
    assert_same(before, trainer.network.decoder.state_dict())
    assert {record["reconstruction_loss"] for record in records} == {0.0}


def test_alpha_weighs_the_reconstruction(clips):
    record = run_to_end(trainer_of(clips, replace(RECIPE, tasks={"reconstruct": 0.01}, epochs=1)))[
        0
    ]
    expected = record["detection_loss"] + 0.01 * record["reconstruction_loss"]
    assert record["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_not_finite_stops_with_advice(clips):
    logmel, target, fold = clips
    trainer = trainer_of((np.where(logmel > 3, np.nan, logmel), target, fold))
    with pytest.raises(SedmtlError, match=r"diverged.*--lr"):
        run_to_end(trainer)


@pytest.mark.parametrize(("micro_batch", "advised"), [(None, "auto"), (7, 3), (1, 1)])
def test_a_gpu_without_memory_is_a_sentence_with_advice(clips, monkeypatch, micro_batch, advised):
    trainer = trainer_of(clips, replace(RECIPE, batch_size=24, micro_batch=micro_batch))

    def forward(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    monkeypatch.setattr(trainer.network, "forward", forward)
    clips_at_once = counted(micro_batch or 24, "clip")
    expected = rf"too little memory for {clips_at_once} .* try --batch-size {advised}, or"
    with pytest.raises(SedmtlError, match=expected):
        run_to_end(trainer)


def test_bfloat16_trains_to_about_the_same_loss(clips):
    """With eight bits of mantissa, the mean loss of an epoch agrees within a few percent."""
    losses = [
        run_to_end(trainer_of(clips, replace(RECIPE, precision=p, epochs=1)))[0]["loss"]
        for p in ("float32", "bfloat16")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_bfloat16_channels_last_scores_are_those_of_float32_contiguous():
    """The same weights in the fast form: scores in [0, 1] agree within 0.02, 0.004 on average."""
    torch.manual_seed(0)
    network = build_model("2apae", 41, 62, 64, 8).eval()
    logmel = torch.randn(4, 62, 64)
    with torch.inference_mode():
        plain = network(logmel)
        fast = Objective(
            network.to(memory_format=torch.channels_last), {}, {}, in_bfloat16=True
        ).run({"logmel": logmel}, with_tasks=False)
    for name in ("clip", "frame"):
        difference = (getattr(fast, name).float() - getattr(plain, name)).abs()
        assert 0 < difference.max() < 0.02
        assert difference.mean() < 0.004
    assert fast.reconstruction is None


def test_a_run_is_named_after_what_it_is():
    recipe = TrainConfig.of({"data": "snr_10", "fold": 1})
    assert recipe.name == "2apae_snr10_fold1_alpha0.001_seed0"
    assert replace(
        recipe, network=TwoStepAttentionSettings(attention="equations"), data="clips", seed=3
    ).name == ("2apae_clips_fold1_alpha0.001_seed3_equations")


def test_the_defaults_are_the_papers():
    recipe = TrainConfig.of({"data": "snr_10", "fold": 1})
    assert (recipe.model, recipe.network.attention, recipe.network.width) == (
        "2apae",
        "released",
        32,
    )
    assert (recipe.alpha, recipe.batch_size, recipe.lr) == (0.001, 24, 1e-3)


@pytest.mark.parametrize("micro_batch", [1, 3, 5])
def test_the_gradients_of_parts_add_up_to_those_of_the_batch(clips, micro_batch):
    """With batch norm as in evaluation; 7 clips in parts of 3 or 5 leave a smaller last one."""

    def gradients(**changes):
        trainer = trainer_of(clips, replace(RECIPE, **changes))
        trainer.network.eval()
        trainer.optimiser.step = lambda: found.update(
            (name, p.grad.clone()) for name, p in trainer.network.named_parameters()
        )
        found = {}
        (step,) = trainer.steps(trainer.split.train[:7])
        return found, step

    whole, (n_clips, losses) = gradients()
    parts, (n_again, summed) = gradients(micro_batch=micro_batch)
    assert n_clips == n_again == 7
    torch.testing.assert_close(summed, losses)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6)
    assert any(gradient.abs().max() > 1e-3 for gradient in whole.values())


def test_parts_take_the_steps_of_the_batch_and_the_learning_rate_follows_them(clips):
    rates = []
    for micro_batch in (None, 2):
        trainer = trainer_of(clips, replace(RECIPE, schedule="cosine", micro_batch=micro_batch))
        rates.append([record["lr"] for record in run_to_end(trainer)])
    assert rates[0] == rates[1]
