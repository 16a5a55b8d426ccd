"""Measures decoders and masks against the stems of held-out mixtures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sedmtl.evaluation import denoising, separability
from sedmtl.evaluation.rows import ScoredRun
from sedmtl.evaluation.stems import Stems, read_fold
from sedmtl.inference.detector import Detector
from sedmtl.inference.separation import Separator
from sedmtl.runtime import progress
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import Advance


def measure(
    work_dir: Path, runs: Sequence[ScoredRun], *, denoise: bool, separation: bool
) -> list[ScoredRun]:
    """Measure each run on its held-out mixtures; report the runs that cannot be measured.

    Args:
        work_dir: The project's workdir, with features and mixtures.
        runs: The scored runs.
        denoise: Whether to measure decoders.
        separation: Whether to measure masks.

    Returns:
        The runs with their measurements.

    Raises:
        SedmtlError: No run can be measured, or there are no stems.
    """
    mixed = [run.name for run in runs if run.snr_db is not None]
    decoding = [run.name for run in runs if run.name in mixed and run.card.reconstructs]
    asked = " and ".join(["--denoise"] * denoise + ["--separation"] * separation)
    _name_left_out(runs, mixed, asked, "no mixtures: 'sedmtl mix --stems' makes them")
    if denoise:
        lacking = "no trained decoder: --alpha above 0 trains one"
        _name_left_out(runs, decoding, "--denoise", lacking)
    decoding = decoding if denoise else []
    n_passes = {
        run.name: (run.name in decoding) + (separation and run.name in mixed) for run in runs
    }
    n_clips = sum(n_passes[run.name] * len(run.scores.name) for run in runs)
    with progress.progress("measuring against stems, clips", n_clips) as advance:
        return [
            _measure(run, work_dir, run.name in decoding, separation, advance)
            if n_passes[run.name]
            else run
            for run in runs
        ]


def _measure(
    run: ScoredRun, work_dir: Path, decode: bool, separation: bool, advance: Advance
) -> ScoredRun:
    # The mixtures are next to the features that the run was scored on.
    features = Path(run.on or work_dir / "features" / f"{run.data.store}.h5")
    path = features.parent.parent / "mixtures" / features.name
    detector = Detector.load(run.folder, choose_device(None), channels_last=False)

    def fold() -> Iterator[Stems]:
        for stems in read_fold(path, run.fold, run.card, run.scores):
            yield stems
            advance(1)

    return replace(
        run,
        denoising=denoising.measure(detector, fold()) if decode else None,
        separability=separability.measure(Separator(detector), fold()) if separation else None,
    )


def _name_left_out(
    runs: Sequence[ScoredRun], usable: Sequence[str], asked: str, lacking: str
) -> None:
    """Report the runs that are not measured.

    Raises:
        SedmtlError: No run can be measured.
    """
    names = [run.name for run in runs if run.name not in usable]
    listed = ", ".join(names)
    if len(names) == len(runs):
        raise SedmtlError(f"nothing to measure with {asked}: {listed} has {lacking}")
    if names:
        progress.say(f"left out of {asked}: {listed} has {lacking}")
