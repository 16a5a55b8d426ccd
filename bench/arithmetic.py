"""The machine's limits, and the arithmetic cost of 2APAE."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from bench.project import Settings
from bench.runner import Run, Timing
from sedmtl.models import build_model
from sedmtl.runtime.devices import choose_device, choose_precision


def survey(settings: Settings) -> Run:
    """Measure the limits of the device that sedmtl would choose, as notes.

    bfloat16 is measured only with hardware support; otherwise it would take minutes.
    """
    device = choose_device(None)

    def run() -> Timing:
        notes = {
            f"{name} GFLOP/s": best_gflops(device, name, settings.limit_s)
            for name in dict.fromkeys(("float32", choose_precision(device)))
        }
        source = torch.ones(1 << 26, device=device)  # 256 MB
        target = torch.empty_like(source)
        copy_s = _best_seconds(lambda: target.copy_(source), settings.limit_s)
        notes["copy GB/s"] = 2 * source.nbytes / copy_s / 1e9  # read and write
        notes["GPUs"] = float(torch.cuda.device_count())
        return Timing(seconds=1.0, notes=notes)

    return run


def time_at_best(settings: Settings, gflop: float, n_items: float) -> Run:
    """Timings that take as long as the arithmetic at the limit, which is remeasured each time."""
    device = choose_device(None)
    precision = choose_precision(device)
    return lambda: Timing(gflop / best_gflops(device, precision, settings.limit_s), n_items)


def best_gflops(device: torch.device, precision: str, enough_s: float) -> float:
    """The faster of a large matrix product and a large 3 x 3 convolution, with all threads."""
    dtype: torch.dtype = getattr(torch, precision)
    n, n_clips = (8192, 96) if device.type == "cuda" else (2048, 4)
    matrix = torch.randn(n, n, device=device).to(dtype)
    maps, kernel = (
        torch.randn(shape, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((n_clips, 128, 128, 64), (128, 128, 3, 3))
    )
    with torch.inference_mode():
        product_s = _best_seconds(lambda: matrix @ matrix, enough_s)
        conv_s = _best_seconds(lambda: F.conv2d(maps, kernel, padding=1), enough_s)
    return max(2 * n**3 / product_s, 2 * maps.numel() * 128 * 9 / conv_s) / 1e9


def network_gflop(
    n_classes: int, n_frames: int, n_mels: int, width: int, *, training: bool
) -> float:
    """Arithmetic of 2APAE for one clip in GFLOP; a multiply-add counts as two operations.

    Training includes the decoder and the backward pass. Only convolutions and matrix products are
    counted, on meta tensors.
    """
    with torch.device("meta"):
        network = build_model("2apae", n_classes, n_frames, n_mels, width)
        logmel = torch.zeros(1, n_frames, n_mels)
    with FlopCounterMode(display=False) as counter:
        output = network(logmel, reconstruct=training)
        if training:
            (output.clip.sum() + output.reconstruction.sum()).backward()
    return float(counter.get_total_flops()) / 1e9


def _best_seconds(work: Callable[[], object], enough_s: float) -> float:
    """Seconds of the fastest repetition, repeating the work for at least `enough_s`."""
    timer = Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange(min_run_time=enough_s).times)
