"""What runs are worth against the stems of their held-out mixtures: decoders and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sedmtl.evaluation.aggregate import ScoredRun
from sedmtl.evaluation.denoising import Denoising
from sedmtl.evaluation.denoising import measure as measure_decoder
from sedmtl.evaluation.separability import Separability
from sedmtl.evaluation.separability import measure as measure_masks
from sedmtl.evaluation.stems import Stems, read_fold
from sedmtl.inference.activations import Interior
from sedmtl.inference.checkpoint import load_card
from sedmtl.inference.separation import Separator
from sedmtl.runtime import progress
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import Advance


@dataclass(frozen=True)
class StemScores:
    """Of one run; None of what was not asked for, or that it does not have."""

    denoising: Denoising | None
    separability: Separability | None


Measured = Mapping[str, StemScores]
"""By the name of the run."""


def measure(
    work_dir: Path,
    folders: Sequence[Path],
    runs: Sequence[ScoredRun],
    *,
    denoise: bool,
    separation: bool,
) -> Measured:
    """Measure each run on its held-out mixtures; those that cannot be measured are named.

    Args:
        work_dir: Where features and mixtures are.
        folders: Of the runs.
        runs: In the same order.
        denoise: Whether to measure decoders.
        separation: Whether to measure masks.

    Raises:
        SedmtlError: No run can be measured, or there are no stems.
    """
    mixed = [run.recipe["data"].startswith("snr_") for run in runs]
    decodes = [denoise and load_card(folder).reconstructs for folder in folders]
    where = " and ".join(["--denoise"] * denoise + ["--separation"] * separation)
    _name_left_out(runs, mixed, where, "no mixtures: 'sedmtl mix --stems' makes them")
    if denoise:
        both = [a and b for a, b in zip(mixed, decodes, strict=True)]
        _name_left_out(runs, both, "--denoise", "no trained decoder: --alpha above 0 trains one")
    n_clips = sum(
        is_mixed * (separation + decode) * len(run.scores.name)
        for run, is_mixed, decode in zip(runs, mixed, decodes, strict=True)
    )
    measured = {run.name: StemScores(None, None) for run in runs}
    with progress.progress("measuring against stems, clips", n_clips) as advance:
        for folder, run, is_mixed, decode in zip(folders, runs, mixed, decodes, strict=True):
            if is_mixed:
                path = _mixtures_of(work_dir, run)
                measured[run.name] = _measure(folder, run, path, decode, separation, advance)
    return measured


def _measure(
    folder: Path, run: ScoredRun, path: Path, decode: bool, separation: bool, advance: Advance
) -> StemScores:
    interior = Interior.load(folder, choose_device(None))

    def fold() -> Iterator[Stems]:
        for stems in read_fold(path, run.recipe["fold"], interior.card, run.scores.target):
            yield stems
            advance(1)

    return StemScores(
        denoising=measure_decoder(interior, fold()) if decode else None,
        separability=measure_masks(Separator(interior), fold()) if separation else None,
    )


def _mixtures_of(work_dir: Path, run: ScoredRun) -> Path:
    """The mixture store beside the feature store that a run was scored on."""
    features = Path(run.on or work_dir / "features" / f"{run.recipe['data']}.h5")
    return features.parent.parent / "mixtures" / features.name


def _name_left_out(
    runs: Sequence[ScoredRun], usable: Sequence[bool], where: str, lacking: str
) -> None:
    """Say which runs are not measured.

    Raises:
        SedmtlError: None is.
    """
    names = [run.name for run, use in zip(runs, usable, strict=True) if not use]
    listed = ", ".join(names)
    if len(names) == len(runs):
        raise SedmtlError(f"nothing to measure with {where}: {listed} has {lacking}")
    if names:
        progress.say(f"left out of {where}: {listed} has {lacking}")
