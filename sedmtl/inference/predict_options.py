"""What the command line of `sedmtl predict` asks for."""

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
"""Options that take the place of fields of a `PostProcessing`."""


@dataclass(frozen=True)
class PredictOptions:
    """Options; what is None is as the run has it.

    Attributes:
        run_name: By default the newest finished run.
        out_dir: By default `work/predictions`.
        formats: In which each recording gets a file of its own: names in `exporters.FORMATS`.
        tags: Whether to write which classes each recording holds, too.
        classes: To look for, also several with commas; by default all.
        thresholds: In place of the run's, each of a class, or of all that have none of their own if
            the name is empty.
        thresholds_of: The network whose scores they were fitted to; empty if nobody knows.
        snippets: Which events are cut out as sound files; None: none.
        low: The share of the threshold above which an event goes on; None: the run's. So the
            lengths; a median filter takes the place of the run's boxes.
        batch_size: Windows at a time.
        n_gpus: 1 or 0; by default one if there is one.
        n_workers: Recordings that are read at once.
        scheduler: Of a Dask cluster, whose workers take a recording each.
        encoder: File of the frozen encoder, if the run has learned from its frames; by default that
            of data.yaml.
        force: Whether files that are the user's are overwritten, too.
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
        """Say where thresholds were fitted to other scores than those that they are used on."""
        if not self.thresholds_of:
            return
        # Files of earlier versions name the run alone: which network of that name, nobody knows.
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
        """The post-processing of a run, but for what is said here.

        A filter in place of boxes begins with the thresholds that were tuned for a filter.

        Raises:
            SedmtlError: A threshold is of another class.
        """
        filtered = card.streaming if self.median_s is not None else None
        return self.adjust(filtered or card.postprocessing, card.classes)

    def adjust(self, settings: PostProcessing, classes: Sequence[str]) -> PostProcessing:
        """The post-processing of a run of such classes, but for what is said here.

        Raises:
            SedmtlError: A threshold is of another class.
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
