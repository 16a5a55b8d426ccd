"""Preparing a run folder: new, resumed or emptied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import sedmtl
from sedmtl.inference.runs import check_data_name, is_finished, read_run, write_run
from sedmtl.runtime.atomic import remove_file
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.origin import Origin
from sedmtl.runtime.outputs import Outputs
from sedmtl.runtime.text import NAME_WANTED, is_name
from sedmtl.store import CLIP_FACTS, Store
from sedmtl.training.config import TrainConfig, option_words
from sedmtl.training.pretrained import SEEN_NAME
from sedmtl.training.start import stored_arrays

RECORDED = ("epochs", "stopped_after", "torch_version", "sedmtl_version", "config", "sources",
            "scenes", "from_sha256", "n_seen", *CLIP_FACTS)  # fmt: skip
"""Settings that may differ when a run is resumed."""

WRITTEN = ("model.safetensors", "last.pt", "metrics.jsonl", "model.json", "scores.h5",
           "localisation.json", "events.out.*", SEEN_NAME, "run.yaml")  # fmt: skip
"""Files of a run, in order of removal. The weights, which mark the run as finished, are removed
first and run.yaml last, so that after a kill in between no other configuration can resume the
remains."""

IN_WORDS = {
    "store_digest": "log-mels of SHA-256",
    "targets_digest": "stems of SHA-256",
    "frames_digest": "encoder frames of SHA-256",
    "micro_batch": "--batch-size auto with micro-batches of",
}
"""Descriptions of settings whose names users do not know."""

LOG_NAME = "train.log"
"""Log of a grid run that is trained in a separate process."""


def folders_of(work_dir: Path, configs: Sequence[TrainConfig], run_name: str | None) -> list[Path]:
    """The run folders; `run_name` replaces the default name of a single run.

    Raises:
        SedmtlError: Several runs are given one name, or it is not a valid folder name.
    """
    if run_name is not None and not is_name(run_name):
        raise SedmtlError(f"the name of a run should be {NAME_WANTED}, found {run_name!r}")
    if run_name and len(configs) > 1:
        raise SedmtlError(f"--name is for a single run: this grid has {len(configs)}")
    return [work_dir / "runs" / (run_name or config.name) for config in configs]


def settings_of(config: TrainConfig, store: Store, n_parameters: int) -> dict[str, Any]:
    """The content of `run.yaml`: everything that determines the run, and versions.

    Raises:
        SedmtlError: The store's name cannot be part of a run's name.
    """
    try:
        check_data_name(config.data)
    except ValueError:
        raise SedmtlError(
            f"{store.path} has a name that cannot be part of a run's name: expected letters, "
            "digits and _.+-, or snr_ and a number; rename it"
        ) from None
    arrays = {"targets": stored_arrays(config)}
    arrays["frames"] = tuple(name for name in config.network.inputs if name == "frames")
    return {
        **config.plain(),
        "n_parameters": n_parameters,
        "sedmtl_version": sedmtl.__version__,
        "torch_version": str(torch.__version__),
        "store_digest": store.data_hash("logmel"),
        **{f"{what}_digest": store.data_hash(*names) for what, names in arrays.items() if names},
        **store.clip_facts,
        "config": store.data_yaml,
    }


def known_settings(run: Path, *, force: bool) -> dict[str, Any] | None:
    """Settings of an existing run; None if it is new or `force`."""
    return read_run(run) if (run / "run.yaml").is_file() and not force else None


def is_trained(run: Path, n_epochs: int) -> bool:
    """Whether a run folder holds a finished run of at least `n_epochs`, even if stopped early."""
    is_run = is_finished(run) and (run / "run.yaml").is_file()
    return is_run and read_run(run)["epochs"] >= n_epochs


def is_done(run: Path, settings: Mapping[str, Any], *, resume: bool) -> bool:
    """Whether a run is already complete; does not modify the folder.

    Args:
        run: The folder.
        settings: As returned by `settings_of`.
        resume: Continue an interrupted run.

    Raises:
        SedmtlError: The folder holds another run, or an interrupted one without `resume`.
    """
    if not (run / "run.yaml").is_file():
        return False
    _check_same_run(run, settings)
    if is_trained(run, settings["epochs"]):
        return True
    if not resume and (run / "last.pt").is_file():
        raise SedmtlError(
            f"{run} stopped before epoch {settings['epochs']}: --resume continues it, "
            "--force starts it over"
        )
    return False


def check_corpora(run: Path, made_of: Mapping[str, Any]) -> None:
    """Refuse to resume a run whose corpora have changed.

    Args:
        run: The folder.
        made_of: The current digest of `sources`, if mixtures are drawn from them, and the classes
            of `scenes`, if scene classification is a task.

    Raises:
        SedmtlError: They have changed.
    """
    before = read_run(run) if (run / "run.yaml").is_file() else {}
    other = {key for key, now in made_of.items() if before.get(key, now) != now}
    remedy = "give this run another --name, or --force to replace it"
    if "sources" in other:
        raise SedmtlError(
            f"{run} was trained on mixtures of other audio than is now in the corpora: {remedy}"
        )
    if "scenes" in other:
        raise SedmtlError(
            f"{run} was trained on the scenes {', '.join(before['scenes'])}, and the corpus now "
            f"has {', '.join(made_of['scenes'])}: {remedy}"
        )


def begin(run: Path, settings: Mapping[str, Any], *, force: bool) -> None:
    """Prepare a run folder; `force` removes the existing run."""
    if force and run.is_dir():
        _empty(run)
    if not is_finished(run):  # a finished run keeps its run.yaml until it is finished again
        write_run(run, settings)


def _empty(run: Path) -> None:
    """Remove the run's files from its folder; other files stay."""
    for name in ("model.onnx", "encoder.onnx"):
        Outputs(run).remove(run / name)
    for name in WRITTEN:
        for path in (*run.glob(name), *run.glob(f".{name}.part")):
            remove_file(path)


def _origin_of(settings: Mapping[str, Any]) -> Origin:
    recorded = set(RECORDED)
    if settings.get("schedule") == "cosine":
        recorded.remove("epochs")  # they determine the learning rate of every step
    decides = {key: value for key, value in settings.items() if key not in recorded}
    return Origin(decides, {key: settings[key] for key in recorded if key in settings})


def _check_same_run(run: Path, settings: Mapping[str, Any]) -> None:
    """Refuse changed settings. Epochs may increase, except with the cosine schedule."""
    before, now = _origin_of(read_run(run)), _origin_of(settings)
    changed = [
        _change(key, before.decides.get(key), now.decides.get(key))
        for key in before.changes(now)
        if key != "epochs" or "schedule" not in before.changes(now)
    ]
    if changed:
        raise SedmtlError(
            f"{run} was trained with {'; '.join(changed)}: give this run another --name, or "
            "--force to replace it"
        )


def _change(key: str, before: Any, now: Any) -> str:
    """Describe a changed setting, in the command's terms."""
    if key == "tasks":
        typed = [" ".join(option_words(key, each or {})) or "no --task" for each in (before, now)]
        return ", now ".join(typed)
    n_shown = 8 if key.endswith("_digest") else None
    shown = [str("none" if each is None else each)[:n_shown] for each in (before, now)]
    return f"{IN_WORDS.get(key, key)} {shown[0]}, now {shown[1]}"
