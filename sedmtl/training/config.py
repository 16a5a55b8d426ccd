"""The configuration of a run: everything that determines it, except the feature store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from sedmtl.config import Remix
from sedmtl.data.frame_times import frames_of
from sedmtl.models.registry import PAPERS, name_of, plain_settings, read_settings
from sedmtl.models.settings import NetworkSettings
from sedmtl.runtime.devices import Precision
from sedmtl.store import Store
from sedmtl.training.choices import Schedule, Supervision
from sedmtl.training.recipe import RECIPES
from sedmtl.training.tasks import RECONSTRUCT, task_class, weigh_tasks
from sedmtl.training.weights import Weight

Selection = Literal["honest", "paper"]
SELECTIONS: dict[Selection, str] = {"honest": "validation", "paper": "held_out"}
"""The split part whose micro-P selects the epoch: `honest` is validation-selected, `paper`
test-selected, which is what the paper reports."""

FLAGS = {"freeze_encoder": "frozen", "class_weights": "weighted", "balanced": "balanced"}
"""Boolean options, off by default, and the word that each adds to the run's name."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that determines a run, except the feature store.

    Attributes:
        data: Name of the feature store.
        fold: The held-out fold; 0 holds none out.
        network: The network's options; their class identifies the network.
        tasks: Auxiliary tasks with their weights, none of which is 0.
        precision: Data type of convolutions and dense layers; losses, batch norm statistics and
            weights are always float32.
        schedule: Learning rate schedule: `plateau` divides the rate by ten when validation stalls;
            `cosine` warms up over 50 steps and decays to 0.
        remix: Ranges for drawing new mixtures every epoch; None trains on the stored clips.
        supervision: `strong` also trains on per-frame labels, as an upper bound for weak labels.
        micro_batch: Clips per forward pass, if a whole batch does not fit in memory; None for a
            whole batch.
        parent: The run whose weights initialise this one: a name or path, identical in all folds
            of a cross-validation except for `{fold}`; None for fresh weights.
        freeze_encoder: Whether to keep the encoder of `parent` fixed, including its batch norm
            statistics.
        class_weights: Whether to weight the clip loss by class frequency
            (`class_balance.ClassWeights`).
        balanced: Whether to draw every class about equally often.
    """

    data: str
    fold: int
    network: NetworkSettings
    tasks: Mapping[str, Weight] = field(default_factory=dict)
    epochs: int = 50
    batch_size: int = 24
    lr: float = 1e-3
    seed: int = 0
    precision: Precision = "float32"
    schedule: Schedule = "plateau"
    remix: Remix | None = None
    supervision: Supervision = "weak"
    micro_batch: int | None = None
    parent: str | None = None
    freeze_encoder: bool = False
    class_weights: bool = False
    balanced: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build from plain values, as in `plain`, run.yaml or the command line.

        Missing values take their defaults. Unrelated keys are ignored, and so is `alpha` if the
        network has no decoder.

        Raises:
            SedmtlError: A network or task does not exist, or a weight is invalid.
            KeyError, TypeError, ValueError: A value is missing or invalid.
        """
        network = read_settings({"model": PAPERS, **values})
        paper, others = {RECONSTRUCT: values.get("alpha")}, values.get("tasks", {})
        can_reconstruct = task_class(RECONSTRUCT).fits(type(network))
        tasks = weigh_tasks({**(paper if can_reconstruct else {}), **others})
        same = ("data", "fold", "epochs", "batch_size", "lr", "seed", "precision", "schedule",
                "supervision", "micro_batch", *FLAGS)  # fmt: skip
        remix = values.get("remix")
        return cls(
            network=network,
            tasks={name: weight for name, weight in tasks.items() if weight},
            remix=None if remix is None else Remix.model_validate(remix),
            parent=values.get("from"),
            **{key: values[key] for key in same if key in values},
        )

    def plain(self) -> dict[str, Any]:
        """The values as stored in files: flat, with the reconstruction weight as `alpha`.

        A network without the paper's options has their defaults, and alpha 0.
        """
        shown = ("data", "fold", "epochs", "batch_size", "lr", "seed", "precision")
        values = {name: getattr(self, name) for name in shown}
        tasks = dict(self.tasks)
        # Values equal to the paper's are omitted, as in files of earlier versions.
        if self.remix is not None:
            values["remix"] = self.remix.model_dump(mode="json")
        if self.parent is not None:
            values["from"] = self.parent
        usually = {"schedule": "plateau", "supervision": "weak", "micro_batch": None,
                   **dict.fromkeys(FLAGS, False)}  # fmt: skip
        for name, usual in usually.items():
            if getattr(self, name) != usual:
                values[name] = getattr(self, name)
        return {
            "data": values.pop("data"),
            "fold": values.pop("fold"),
            **plain_settings(self.network),
            "alpha": tasks.pop(RECONSTRUCT, 0.0),
            **values,
            **({"tasks": tasks} if tasks else {}),
        }

    @property
    def model(self) -> str:
        """Name of the network."""
        return name_of(self.network)

    @property
    def alpha(self) -> Weight:
        """Weight of the reconstruction task; 0 if it is off."""
        return self.tasks.get(RECONSTRUCT, 0.0)

    @property
    def name(self) -> str:
        """Default name of the run's folder."""
        data, alpha = self.data.replace("_", ""), weight_text(self.alpha)
        others = [f"{n}{weight_text(w)}" for n, w in self.tasks.items() if n != RECONSTRUCT]
        first = f"{self.model}_{data}_fold{self.fold or 'none'}_alpha{alpha}_seed{self.seed}"
        return "_".join([first, *self.variant, *others])

    @property
    def parent_run(self) -> str:
        """Name or path of the run whose weights initialise this one."""
        return (self.parent or "").replace("{fold}", str(self.fold or "none"))

    @property
    def n_at_once(self) -> int:
        """Clips per forward pass."""
        return self.micro_batch or self.batch_size

    def n_clips(self, n_stored: int) -> int:
        """Training clips per epoch, given the number of training clips in the store."""
        return (self.remix and self.remix.mixtures_per_epoch) or n_stored

    @property
    def variant(self) -> list[str]:
        """Words for the run's name: how it differs from the defaults."""
        is_as_mixed = self.remix is not None or self.data == "clips"
        if is_as_mixed and self.schedule == RECIPES["strong"]["schedule"]:
            words = ["strong", *(["remix"] if self.remix and self.data == "clips" else [])]
        else:
            words = [f"schedule{self.schedule}"] * (self.schedule != "plateau")
            words += ["remix"] * (self.remix is not None)
        words += [f"known{what}" for what in self.known]
        words += [word for flag, word in FLAGS.items() if getattr(self, flag)]
        words += [] if self.parent is None else ["from", Path(self.parent_run).name]
        return [*self.network.variant, *words]

    @property
    def known(self) -> tuple[str, ...]:
        """Supervision used in addition to weak labels; empty if there is none.

        `frames`: active classes per frame (`supervision`). `times`, `stems`: what task targets are
        made from.
        """
        needs = {task_class(name).needs for name in self.tasks} - {"labels"}
        return (*["frames"] * (self.supervision == "strong"), *sorted(needs, reverse=True))

    @property
    def cross_validation(self) -> str:
        """A key shared by exactly the folds of one cross-validation."""
        return json.dumps(replace(self, fold=0, micro_batch=None).plain(), sort_keys=True)

    def words(self) -> list[str]:
        """The `sedmtl train` options that request this run, as a user would type them."""
        values = self.plain()
        foreign = plain_settings(self.network).keys() - asdict(self.network).keys() - {"model"}
        if RECONSTRUCT not in self.network.task_modules:
            foreign |= {"alpha"}
        shown = {key: value for key, value in values.items() if key not in {*foreign, "tasks"}}
        others = {name: weight for name, weight in self.tasks.items() if name != RECONSTRUCT}
        flags = option_words("tasks", others)
        flags += ["--remix"] if shown.pop("remix", None) else []
        if shown.pop("micro_batch", None):
            shown["batch_size"] = "auto"
        flags += [f"--{flag.replace('_', '-')}" for flag in FLAGS if shown.pop(flag, None)]
        shown["fold"] = self.fold or "none"
        return [word for key, value in shown.items() for word in option_words(key, value)] + flags


def option_words(name: str, value: object) -> list[str]:
    """An option of `sedmtl train` as typed; empty for a flag that is off."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] * value
    if name == "tasks" and isinstance(value, Mapping):
        return [f"--task={task}={weight}" for task, weight in value.items()]
    return [flag, str(value)]


def weight_text(weight: Weight) -> str:
    """A weight as used in run names: the rule's name, or the number."""
    return weight if isinstance(weight, str) else f"{weight:g}"


def build_network(config: TrainConfig, store: Store) -> nn.Module:
    """Build the network for a store, with weights initialised from the seed."""
    n_frames, n_mels = store.row_shape
    torch.manual_seed(config.seed)
    return config.network.build(len(store.classes), n_frames, n_mels, frames_of(store))
