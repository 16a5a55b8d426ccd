"""What is measured: every stage with its reference and its limit, by family.

`--only` chooses families; each has a legend of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.runner import Side


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        unit: Of its figure; with 's', less is better.
        ours: As sedmtl does it.
        reference: The plain way.
        limit: The fastest that this machine could do it, where that is known.
        n_laps: Timed laps.
        n_warm: Laps before those, not timed.
        needs_gpu: Left out on a machine without a GPU.
    """

    name: str
    unit: str
    ours: Side
    reference: Side | None = None
    limit: Side | None = None
    n_laps: int = 3
    n_warm: int = 1
    needs_gpu: bool = False

    @property
    def sides(self) -> dict[str, Side]:
        """Those that the stage has, by name."""
        named = {"ours": self.ours, "reference": self.reference, "limit": self.limit}
        return {name: side for name, side in named.items() if side}


@dataclass(frozen=True)
class Family:
    """Stages that share a legend.

    Attributes:
        needs: Stores of the shared project to make first: 'features' include 'mixtures'.
        reference: Describes the references.
        limit: Describes the limits.
    """

    needs: str
    stages: tuple[Stage, ...]
    reference: str
    limit: str = ""


def _stage(name: str, unit: str, module: str, *arguments: object, **fields: Any) -> Stage:
    """Of a module with `ours`, `plain` and `limit`, which take the same arguments."""
    ours, plain, limit = (Side(f"{module}:{x}", arguments) for x in ("ours", "plain", "limit"))
    return Stage(name, unit, **{"ours": ours, "reference": plain, "limit": limit, **fields})


FAMILIES = {
    "mix": Family(
        "mixtures",
        (
            _stage("mix, one SNR", "mixtures/s", "mixing", 1),
            _stage("mix, three SNRs", "mixtures/s", "mixing", 3),
        ),
        "one process, float64, files read and resampled again for each mixture and SNR, one WAV "
        "per mixture",
        "decoding and resampling each event once and one scene per mixture, on all cores",
    ),
    "features": Family(
        "mixtures",
        (_stage("features", "clips/s", "features"),),
        "one process, float64, from WAV files, all clips in memory, stored at the end",
        "FFT and mel product of each frame, on all cores",
    ),
    "training": Family(
        "features",
        (
            _stage("training step", "clips/s", "networks", True, n_laps=2),
            _stage("training step, torch.compile", "clips/s", "networks", True, n_laps=2,
                   ours=Side("networks:ours", (True, True)), needs_gpu=True),
        ),
        "the same network in float32, contiguous, DataLoader on arrays, loss fetched each step",
        "the step's convolutions and matrix products at the best GFLOP/s of its precision",
    ),
    "inference": Family(
        "features",
        (_stage("inference", "clips/s", "networks", False, n_laps=2),),
        "the same network in float32, contiguous, with the decoder",
        "its convolutions and matrix products without the decoder at the best GFLOP/s",
    ),
    "predict": Family(
        "nothing",
        (
            Stage("predict", "s/s", Side("predicting:ours"), Side("predicting:ours", ("float32",)),
                  Side("predicting:limit"), n_laps=2),
            Stage("predict, long beside short", "s/s", Side("predicting:long"),
                  Side("predicting:short"), n_laps=1, n_warm=0),
        ),
        "float32; in the second row, a short recording beside a long one, network of width 2",
        "as for inference, for the recording's overlapping windows",
    ),
    "metrics": Family(
        "nothing",
        (
            Stage("frame AP", "s", Side("metrics:frame_ap"), Side("metrics:plain_frame_ap"),
                  n_laps=2),
            Stage("PSDS scenario 1", "s", Side("metrics:psds_score", (1,)), n_laps=2),
            Stage("PSDS scenario 2", "s", Side("metrics:psds_score", (2,)), n_laps=2),
        ),
        "scikit-learn",
    ),
    "help": Family(
        "nothing",
        (Stage("sedmtl --help", "s", Side("runner:python", ("-m", "sedmtl", "--help")),
               Side("runner:python", ("-c", "import torch")), n_laps=5),),
        "a process that imports torch",
    ),
}  # fmt: skip
