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


def measure(
    work_dir: Path, runs: Sequence[ScoredRun], *, denoise: bool, separation: bool
) -> list[ScoredRun]:
    """Measure decoders or masks of runs on held-out mixtures; report those that have none.

    Raises:
        SedmtlError: No run can be measured, or there are no stems.
    """
    asked = " and ".join(["--denoise"] * denoise + ["--separation"] * separation)
    mixed = {run.name for run in runs if run.snr_db is not None}
    _name_left_out(runs, mixed, asked, "no mixtures: 'sedmtl mix --stems' makes them")
    listening = {run.name for run in runs if run.card.encoder is not None}
    _name_left_out(
        runs, {run.name for run in runs} - listening, asked, "the frames of an encoder as its input"
    )
    mixed -= listening
    decoding = {run.name for run in runs if denoise and run.name in mixed and _has_decoder(run)}
    if denoise:
        lacking = "no trained decoder: --task denoise trains one, and so does --alpha above 0"
        _name_left_out(runs, decoding, "--denoise", lacking)
    masking = mixed if separation else set()
    passes = [run for names in (decoding, masking) for run in runs if run.name in names]
    n_clips = sum(len(run.scores.name) for run in passes)
    with progress.progress("measuring against stems", n_clips, unit="clips") as advance:
        return [
            _measure(run, work_dir, run.name in decoding, run.name in masking, advance)
            for run in runs
        ]


def _measure(
    run: ScoredRun, work_dir: Path, has_decoder: bool, has_masks: bool, advance: progress.Advance
) -> ScoredRun:
    if not has_decoder and not has_masks:
        return run
    # The mixtures are next to the features that the run was scored on.
    features = Path(run.on or work_dir / "features" / f"{run.data.store}.h5")
    path = features.parent.parent / "mixtures" / features.name
    device = choose_device(None)
    detector = Detector.load(run.folder, device, channels_last=False, with_heads=True)

    def fold() -> Iterator[Stems]:
        for stems in read_fold(path, run.fold, run.card, run.scores):
            yield stems
            advance(1)

    return replace(
        run,
        denoising=denoising.measure(detector, fold()) if has_decoder else None,
        separability=separability.measure(Separator(detector), fold()) if has_masks else None,
    )


def _has_decoder(run: ScoredRun) -> bool:
    return run.card.reconstructs or "denoise" in run.card.heads


def _name_left_out(runs: Sequence[ScoredRun], usable: set[str], asked: str, lacking: str) -> None:
    """Report the runs that are not measured; refuse if that is all of them."""
    names = [run.name for run in runs if run.name not in usable]
    listed = ", ".join(names)
    if len(names) == len(runs):
        raise SedmtlError(f"nothing to measure with {asked}: {listed} has {lacking}")
    if names:
        progress.say(f"left out of {asked}: {listed} has {lacking}")
