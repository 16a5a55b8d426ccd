"""What is measured: every stage with its reference and its limit. Data only.

A family is what `--only` chooses by and what the legend explains.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.worker import Side


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        unit: Of its figure; 's' is one where less is better.
        ours: As sedmtl does it.
        reference: The plain way.
        limit: What the machine cannot do faster, if that is known.
        n_laps: Timed.
        n_warm: Before those, not timed.
        needs_gpu: Whether it is left out on a machine without one.
    """

    name: str
    unit: str
    ours: Side
    reference: Side | None = None
    limit: Side | None = None
    n_laps: int = 3
    n_warm: int = 1
    needs_gpu: bool = False


@dataclass(frozen=True)
class Family:
    """Stages that share a legend.

    Attributes:
        needs: What `project.prepare` must have made: 'features' include 'mixtures'.
        reference: What the reference is.
        limit: What the limit is.
    """

    needs: str
    stages: tuple[Stage, ...]
    reference: str
    limit: str = ""


FAMILIES = {
    "mix": Family(
        "mixtures",
        (
            Stage("mix, one SNR", "mixtures/s", Side("mixing:store", (1,)),
                  Side("mixing:plain", (1,)), Side("mixing:limit", (1,))),
            Stage("mix, three SNRs", "mixtures/s", Side("mixing:store", (3,)),
                  Side("mixing:plain", (3,)), Side("mixing:limit", (3,))),
        ),
        "one process, float64, files read and resampled anew for each mixture and SNR, a WAV each",
        "decoding and resampling each event once and a scene a mixture, on all cores",
    ),
    "features": Family(
        "mixtures",
        (Stage("features", "clips/s", Side("features:store"), Side("features:plain"),
               Side("features:limit")),),
        "one process, float64, from WAV files, all clips in memory, stored in one go",
        "FFT and mel product of each frame, on all cores",
    ),
    "training": Family(
        "features",
        (
            Stage("training step", "clips/s", Side("training:trainer"), Side("training:plain"),
                  Side("training:limit"), n_laps=2),
            Stage("training step, torch.compile", "clips/s", Side("training:trainer", (True,)),
                  Side("training:plain"), Side("training:limit"), n_laps=2, needs_gpu=True),
        ),
        "the same network in float32, contiguous, DataLoader on arrays, loss fetched each step",
        "the step's convolutions and matrix products at the best GFLOP/s of its precision",
    ),
    "inference": Family(
        "features",
        (Stage("inference", "clips/s", Side("inference:trainer"), Side("inference:plain"),
               Side("inference:limit"), n_laps=2),),
        "the same network in float32, contiguous, with the decoder",
        "its convolutions and matrix products without the decoder at the best GFLOP/s",
    ),
    "predict": Family(
        "nothing",
        (
            Stage("predict", "s/s", Side("predicting:fast"), Side("predicting:plain"),
                  Side("predicting:limit"), n_laps=2),
            Stage("predict, long beside short", "s/s", Side("predicting:long"),
                  Side("predicting:short"), n_laps=1, n_warm=0),
        ),
        "float32; in the second row, a short recording beside a long one, network of width 2",
        "as for inference, of its overlapping windows",
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
        (Stage("sedmtl --help", "s", Side("starting:show_help"), Side("starting:import_torch"),
               n_laps=5),),
        "a process that imports torch",
    ),
}  # fmt: skip
