"""Starting from another run (`train --from`): its weights, standardiser and training recordings.

Class outputs are matched by class name. Which dimensions of a tensor run over classes is found by
building the network for two numbers of classes on the meta device.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sedmtl.data.frame_times import frames_of
from sedmtl.inference.checkpoint import read_checkpoint
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.runs import find_run
from sedmtl.inference.weights import join_weights, split_weights
from sedmtl.models.heads import Sizes, build_head
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.documents import parse_json, sealed, unsealed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import read_text
from sedmtl.store import Rows, Store, check_encoder
from sedmtl.training.config import TrainConfig, option_words

SEEN_NAME = "trained_on.json"
"""File in a run folder: a sorted list of the recordings that its weights were trained on."""


class Pretrained(NamedTuple):
    """A finished run whose weights initialise another.

    Attributes:
        name: Name of the run.
        card: Its model card.
        weights: Its tensors, named as in `join_weights`.
        digest: SHA-256 of its weights file.
        seen: Recordings that it was trained on; None if unknown.
    """

    name: str
    card: ModelCard
    weights: Mapping[str, Tensor]
    digest: str
    seen: frozenset[str] | None


def parent_of(from_run: str | Path | None, work_dir: Path) -> str | None:
    """`TrainConfig.parent` for a run: its name if it is in the project, otherwise its path."""
    if from_run is None:
        return None
    path = Path(str(from_run))
    return path.name if path.parent.resolve() == (work_dir / "runs").resolve() else str(from_run)


def read_pretrained(runs_dir: Path, config: TrainConfig, store: Store) -> Pretrained:
    """Read the parent run of a config, and check that it fits.

    Raises:
        SedmtlError: The parent does not exist, is unfinished or damaged, was trained on other
            features, or is another network.
    """
    folder = find_run(runs_dir, config.parent_run)
    saved = read_checkpoint(folder)
    weights = join_weights(saved.network(), saved.heads(only_fitting=True))
    found = Pretrained(folder.name, saved.card, weights, saved.digest, _read_seen(folder))
    _check_features(found, store)
    _check_network(found, config)
    return found


def _read_seen(folder: Path) -> frozenset[str] | None:
    try:
        return frozenset(unsealed(parse_json(read_text(folder / SEEN_NAME)))["recordings"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # missing, as in runs of earlier versions, or damaged


def _check_features(start: Pretrained, store: Store) -> None:
    for key, value in {"sample_rate": start.card.sample_rate, **start.card.features}.items():
        if store.attributes[key] != value:
            raise SedmtlError(
                f"--from {start.name}: expected the features that it was trained on, with {key} "
                f"{value:g}, found {store.attributes[key]:g} in {store.path}: set {key} in "
                "data.yaml and run 'sedmtl features' again"
            )
    check_encoder(store, start.card.encoder)


def _check_network(start: Pretrained, config: TrainConfig) -> None:
    theirs, ours = start.card.network, config.network
    if (start.card.model, theirs.width) != (config.model, ours.width):
        raise SedmtlError(
            f"--from {start.name}: expected its network, found {config.model} of width "
            f"{ours.width}: add --model {start.card.model} --width {theirs.width}"
        )


def adopt(network: nn.Module, start: Pretrained, config: TrainConfig, store: Store) -> None:
    """Copy the weights of another run into a fresh network, in place.

    Args:
        network: Built for the store's classes. Weights of classes that are new keep their values.
        start: The other run.
        config: The new run.
        store: Its training store.

    Raises:
        SedmtlError: The network depends on the number of frames and it differs, or other options
            changed the shapes of tensors.
    """
    theirs, ours = start.card.classes, store.classes
    n_frames, n_mels = store.row_shape
    frames = frames_of(store)
    dims = class_dims(lambda n: config.network.build(n, n_frames, n_mels, frames))
    misfit = _copy(start.weights, network, dims, theirs, ours)
    if misfit is not None:
        raise _other_sizes(start, config, n_frames, misfit)
    new = [label for label in ours if label not in theirs]
    progress.say(
        f"starting from the weights and the standardiser of {start.name}, which knows "
        f"{len(ours) - len(new)} of the {len(ours)} classes"
        + (f"; new: {', '.join(new)}" if new else "")
    )


def adopt_heads(
    heads: Mapping[str, nn.Module],
    start: Pretrained,
    config: TrainConfig,
    classes: tuple[str, ...],
    sizes: Sizes,
) -> None:
    """Copy task heads of another run, in place, after `adopt`.

    Heads that keep their fresh weights are reported with the reason.

    Args:
        heads: Fresh heads by task; weights of new classes keep their values.
        start: The other run.
        config: The new run.
        classes: Its classes.
        sizes: Sizes the heads were built with.
    """
    kept = []
    for name, head in heads.items():
        if name not in start.card.heads:
            progress.say(f"the head of --task {name} starts from scratch: {start.name} has none")
        elif not split_weights(start.weights, name):
            progress.say(
                f"the head of --task {name} starts from scratch: that of {start.name} is from an "
                "earlier version of sedmtl"
            )
        elif name == "scene" and start.card.scenes != sizes.scenes:
            progress.say(
                f"the head of --task {name} starts from scratch: {start.name} knows the scenes "
                f"{', '.join(start.card.scenes)}, expected {', '.join(sizes.scenes)}"
            )
        else:
            build = partial(_build_head, name, config, sizes)
            own = split_weights(start.weights, name)
            _copy(own, head, class_dims(build), start.card.classes, classes)
            kept.append(name)
    if kept:
        progress.say(f"its heads of {', '.join(kept)} are used as well")


def _build_head(name: str, config: TrainConfig, sizes: Sizes, n_classes: int) -> nn.Module:
    return build_head(name, config.network, sizes._replace(n_classes=n_classes))


def _copy(
    weights: Mapping[str, Tensor],
    module: nn.Module,
    dims: Mapping[str, tuple[int, ...]],
    theirs: tuple[str, ...],
    ours: tuple[str, ...],
) -> str | None:
    """Copy tensors in place, matching classes; returns the key of the first misfit, if any."""
    known = [label for label in ours if label in theirs]
    for key, tensor in module.state_dict().items():
        source = weights.get(key)
        expected = [len(theirs) if d in dims[key] else size for d, size in enumerate(tensor.shape)]
        if source is None or list(source.shape) != expected:
            return key

        def indices(classes: tuple[str, ...], key: str = key, tensor: Tensor = tensor) -> Any:
            kept = [classes.index(label) for label in known]
            of_each = (kept if d in dims[key] else range(n) for d, n in enumerate(tensor.shape))
            return np.ix_(*of_each)

        tensor.numpy()[indices(ours)] = source.numpy()[indices(theirs)]
    return None


def _other_sizes(start: Pretrained, config: TrainConfig, n_frames: int, key: str) -> SedmtlError:
    theirs, ours = vars(start.card.network), vars(config.network)
    other = [name for name in ours if ours[name] != theirs[name]]
    if not other and start.card.n_frames != n_frames:
        return SedmtlError(
            f"--from {start.name}: {config.model} knows the positions of {start.card.n_frames} "
            f"frames, found {n_frames}: expected clips of the same length (mixing.duration_s in "
            "data.yaml)"
        )
    options = " ".join(word for name in other for word in option_words(name, theirs[name]))
    return SedmtlError(
        f"--from {start.name}: its weights do not fit this network ({key}): add "
        f"{options or 'the options that it was trained with'}"
    )


def class_dims(build: Callable[[int], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Dimensions that run over classes, for each tensor of a module.

    Args:
        build: Builds the module for a number of classes.
    """
    with torch.device("meta"):
        one, other = (build(n).state_dict() for n in (5, 6))
    return {
        key: tuple(d for d, sizes in enumerate(zip(one[key].shape, other[key].shape, strict=True))
                   if sizes[0] != sizes[1])
        for key in one
    }  # fmt: skip


def recordings_of(store: Store, clips: Rows) -> list[set[str]]:
    """Source recordings of each clip: the clip itself, or a mixture's events and scene."""
    table = store.clips
    if "snr_db" not in store.attributes:
        return [{table.name[clip]} for clip in clips]
    found = {int(clip): {f"scene {table.scene[clip]}"} for clip in clips}
    for clip, source in zip(table.events.mixture.tolist(), table.events.source, strict=True):
        if clip in found:
            found[clip].add(f"event {source}")
    return list(found.values())


def count_seen(start: Pretrained, store: Store, fold: int) -> int | None:
    """Number of held-out clips with a recording the weights were trained on; None if unknown."""
    if start.seen is None:
        return None
    held_out = np.flatnonzero(store.clips.fold == fold)
    return sum(not start.seen.isdisjoint(each) for each in recordings_of(store, held_out))


def write_seen(
    run: Path, store: Store, clips: Rows, drawn: frozenset[str], start: Pretrained | None
) -> None:
    """Save the recordings a run is trained on, unless those of its parent are unknown.

    Args:
        run: The run folder.
        store: The training store.
        clips: Clips of the training folds.
        drawn: Recordings that new mixtures are drawn from.
        start: The parent run, if any.
    """
    before = frozenset[str]() if start is None else start.seen
    if before is not None:
        seen = sorted(before.union(drawn, *recordings_of(store, clips)))
        text = json.dumps(sealed({"recordings": seen}), indent=0, ensure_ascii=False)
        write_text(run / SEEN_NAME, text)


def describe_seen(settings: Mapping[str, Any], name: str) -> str | None:
    """Warning that a run's score may be too high because of its initial weights; None if not.

    Args:
        settings: Settings of its `run.yaml`.
        name: Name of the run.
    """
    if not settings.get("from") or not settings["fold"]:
        return None
    n_seen = settings.get("n_seen")
    if n_seen is None:
        return (
            f"{name} started from weights that may have been trained on its held-out clips: its "
            "score may be too high"
        )
    if n_seen == 0:
        return None
    return (
        f"{name} started from weights that were trained on {n_seen} of its held-out clips: its "
        "score is too high to be compared"
    )
