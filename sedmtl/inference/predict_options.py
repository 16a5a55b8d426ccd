"""The options of `sedmtl predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sedmtl.inference.identity import network_name
from sedmtl.inference.model_card import ModelCard, check_classes
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.prediction import BATCH_SIZE
from sedmtl.inference.snippets import Snippets
from sedmtl.runtime.progress import say

CHANGES = ("low", "median_s", "gap_s", "min_duration_s")
"""Options that override fields of `PostProcessing`."""


@dataclass(frozen=True)
class PredictOptions:
    """The options; None leaves a value as the run has it.

    Attributes:
        run_name: Name of the run; by default the newest finished one.
        out_dir: Output folder; by default `work/predictions`.
        formats: Formats of per-recording files: names in `exporters.FORMATS`.
        tags: Whether to write the table of tags as well.
        classes: Classes to report, possibly several separated by commas; by default all.
        thresholds: Thresholds by class that override the run's; an empty name stands for all other
            classes.
        thresholds_of: The network whose scores the thresholds were fitted to; empty if unknown.
        snippets: Events to cut out as sound files; None for none.
        low: Hysteresis as a share of the threshold.
        median_s: Length of the median filter, which replaces the run's boxes.
        gap_s: Longest gap that is filled.
        min_duration_s: Shortest event that is kept.
        batch_size: Windows per batch.
        n_gpus: 1 or 0; by default a GPU if available.
        n_workers: Recordings read in parallel.
        scheduler: Address of a Dask cluster, whose workers process one recording each at a time.
        encoder: File of the frozen encoder, if the run was trained on its frames; by default that
            of data.yaml.
        force: Whether to overwrite the user's files.
    """

    run_name: str | None = None
    out_dir: Path | None = None
    formats: Sequence[str] = ()
    tags: bool = False
    classes: Sequence[str] = ()
    thresholds: Sequence[tuple[str, float]] = ()
    thresholds_of: str = ""
    snippets: Snippets | None = None
    low: float | None = None
    median_s: float | None = None
    gap_s: float | None = None
    min_duration_s: float | None = None
    batch_size: int = BATCH_SIZE
    n_gpus: int | None = None
    n_workers: int = 1
    scheduler: str | None = None
    encoder: Path | None = None
    force: bool = False

    def warn_of_other_thresholds(self, run: Path) -> None:
        """Warn if the thresholds were fitted to other scores than they are applied to."""
        if not self.thresholds_of:
            return
        # Files of earlier versions have only the run's name, which does not identify the network.
        if self.thresholds_of not in (run.name, network_name(run)):
            say(
                f"warning: the thresholds are for scores of {self.thresholds_of}, found "
                f"{network_name(run)}: their precision does not hold here"
            )
        if any(getattr(self, name) is not None for name in CHANGES):
            say(
                "warning: the thresholds were fitted without --hysteresis, --median, --gap and "
                "--min-duration: with these, their precision does not hold"
            )

    def settings_of(self, card: ModelCard) -> PostProcessing:
        """The post-processing of a run with these options applied.

        If a median filter replaces boxes, the thresholds tuned for a filter are used.

        Raises:
            SedmtlError: A threshold is given for an unknown class.
        """
        filtered = card.streaming if self.median_s is not None else None
        return self.adjust(filtered or card.postprocessing, card.classes)

    def adjust(self, settings: PostProcessing, classes: Sequence[str]) -> PostProcessing:
        """Apply these options to post-processing settings for some classes.

        Raises:
            SedmtlError: A threshold is given for an unknown class.
        """
        asked: dict[str, Any] = {name: getattr(self, name) for name in CHANGES}
        given: dict[str, float] = {}
        for name, value in sorted(self.thresholds, key=lambda each: each[0] != ""):
            given |= dict.fromkeys(check_classes([name], classes) if name else classes, value)
        pairs = zip(classes, settings.threshold, strict=True)
        asked["threshold"] = tuple(given.get(label, value) for label, value in pairs)
        if self.median_s is not None:
            asked["step_s"] = 0.0
        return replace(settings, **{k: value for k, value in asked.items() if value is not None})
