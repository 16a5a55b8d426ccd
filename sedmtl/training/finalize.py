"""The results of training: the model card with tuned thresholds, and held-out scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sedmtl.inference.detector import Detector
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.timelines import score_recordings
from sedmtl.inference.weights import split_weights
from sedmtl.store import HeldOutScores, Rows, Store, annotation_of, known_clips
from sedmtl.training.config import SELECTIONS
from sedmtl.training.loop import Trainer
from sedmtl.training.tuning import tune, tune_tags

FEATURE_KEYS = ("window", "hop", "n_mels", "f_min", "f_max")


def conclude(trainer: Trainer, store: Store) -> tuple[ModelCard, HeldOutScores | None]:
    """Tune the validation-selected network on inner validation, and score the held-out fold.

    Args:
        trainer: A trainer after its last epoch.
        store: The store it was trained on.

    Returns:
        The card, and the scores (None if no fold is held out).
    """
    card = card_of(trainer, store)
    network = card.build_network()
    network.load_state_dict(split_weights(trainer.best["honest"].weights))
    detector = Detector(card, network, trainer.device)
    is_held_out = len(trainer.split.held_out) > 0
    scores = _held_out_scores(trainer, store, detector) if is_held_out else None
    return _tune(detector, store, trainer.split.validation), scores


def _tune(detector: Detector, store: Store, rows: Rows) -> ModelCard:
    """The card with thresholds and post-processing tuned on `rows`."""
    card, target = detector.card, store.clips.target[rows]
    lines, clip = score_recordings(detector, store, rows)
    tag_threshold = tune_tags(clip, target)
    known = known_clips(target, store.clips.events.of_clips(rows))
    truth = annotation_of(store.clips.events.of_clips(rows[known])) if len(known) else None
    chosen = known if len(known) else np.arange(len(rows))
    best, filtered = tune(
        lines.of_clips(chosen), target[chosen], truth, card.grid.edges_s, card.grid.hop_s
    )
    streaming = filtered if best.step_s else None
    return replace(card, postprocessing=best, tag_threshold=tag_threshold, streaming=streaming)


def _held_out_scores(trainer: Trainer, store: Store, detector: Detector) -> HeldOutScores:
    rows, target = trainer.split.held_out, store.clips.target
    lines, _ = score_recordings(detector, store, rows)
    return HeldOutScores(
        classes=store.classes,
        name=[store.clips.name[row] for row in rows],
        target=target[rows],
        prior=target[trainer.split.training_folds].mean(axis=0).astype(np.float32),
        score={key: trainer.best[key].held_out_score.numpy() for key in SELECTIONS},
        epoch={key: trainer.best[key].epoch for key in SELECTIONS},
        frame=lines.frame.astype(np.float16),
        frame_edges_s=detector.card.grid.edges_s,
        duration_s=detector.duration_s,
        events=store.clips.events.of_clips(rows),
        windows=lines.windows,
        window_score=None if lines.windows is None else lines.clip,
    )


def card_of(trainer: Trainer, store: Store) -> ModelCard:
    """Build the model card of a run, with thresholds of 0.5 until they are tuned."""
    config, best = trainer.config, trainer.best["honest"]
    n_frames, n_mels = store.row_shape
    # A run resumed from an earlier version may lack heads in its best epoch.
    heads = tuple(name for name in trainer.heads if split_weights(best.weights, name))
    return ModelCard(
        network=config.network,
        n_frames=n_frames,
        n_mels=n_mels,
        classes=store.classes,
        sample_rate=store.attributes["sample_rate"],
        n_samples=store.attributes["n_samples"],
        features={key: store.attributes[key] for key in FEATURE_KEYS},
        **_standardisers_of(trainer),
        encoder=store.encoder if "frames" in config.network.inputs else None,
        postprocessing=PostProcessing(threshold=(0.5,) * len(store.classes)),
        tag_threshold=(0.5,) * len(store.classes),
        training={
            **config.plain(),
            **({"known": config.known} if config.known else {}),
            "n_train": len(trainer.split.train),
            "best_epoch": best.epoch,
            "validation_micro_p": best.micro_p,
        },
        heads=heads,
        scenes=trainer.scenes if "scene" in heads else (),
    )


def _standardisers_of(trainer: Trainer) -> dict[str, Any]:
    """The standardisers' statistics as card fields."""
    prefixes = {"logmel": "", "frames": "frames_"}
    return {
        f"{prefixes[name]}{statistic}": tuple(getattr(each, statistic).tolist())
        for name, each in trainer.standardisers.items()
        for statistic in ("mean", "std")
    }
