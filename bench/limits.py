"""What this machine can do at best, and how much arithmetic a network asks for."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.lap import Lap, Run, seconds_of
from bench.settings import Settings
from sedmtl.models import build_model
from sedmtl.runtime.devices import choose_device


def survey(settings: Settings) -> Run:
    """Find all limits of the device that sedmtl would choose."""
    device = choose_device(None)

    def run() -> Lap:
        notes = {
            "float32 GFLOP/s": best_gflops(device, torch.float32, settings.limit_s),
            "bfloat16 GFLOP/s": best_gflops(device, torch.bfloat16, settings.limit_s),
            "copy GB/s": best_copy_gb_s(device, settings.limit_s),
            "GPUs": float(torch.cuda.device_count()),
        }
        return Lap(seconds=1.0, notes=notes)

    return run


def best_gflops(device: torch.device, dtype: torch.dtype, enough_s: float) -> float:
    """The faster of a large matrix product and a large 3 x 3 convolution, with all threads.

    Each is looked at for `enough_s`, and its best lap counts.
    """
    n, n_clips = (8192, 96) if device.type == "cuda" else (2048, 4)
    matrix = torch.randn(n, n, device=device).to(dtype)
    maps = torch.randn(n_clips, 128, 128, 64, device=device).to(dtype)
    maps = maps.contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(128, 128, 3, 3, device=device).to(dtype)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        product_s = _best_seconds(lambda: matrix @ matrix, device, enough_s)
        conv_s = _best_seconds(lambda: F.conv2d(maps, kernel, padding=1), device, enough_s)
    return max(2 * n**3 / product_s, 2 * maps.numel() * 128 * 9 / conv_s) / 1e9


def best_copy_gb_s(device: torch.device, enough_s: float) -> float:
    """Bytes read and written a second, copying 256 MB."""
    source = torch.ones(1 << 26, device=device)
    target = torch.empty_like(source)
    seconds = _best_seconds(lambda: target.copy_(source), device, enough_s)
    return 2 * source.nbytes / seconds / 1e9


def network_gflop(
    n_classes: int, n_frames: int, n_mels: int, width: int, *, training: bool
) -> float:
    """Arithmetic of 2APAE for one clip, multiplication and addition counted each, in GFLOP.

    Training runs the decoder and the way back; scoring neither. Only convolutions and matrix
    products are counted, on tensors without content.
    """
    with torch.device("meta"):
        network = build_model("2apae", n_classes, n_frames, n_mels, width)
        logmel = torch.zeros(1, n_frames, n_mels)
    with FlopCounterMode(display=False) as counter:
        output = network(logmel, reconstruct=training)
        if training:
            (output.clip.sum() + output.reconstruction.sum()).backward()
    return float(counter.get_total_flops()) / 1e9


def arithmetic(settings: Settings, gflop: float, n_items: float, in_bfloat16: bool) -> Run:
    """Laps that say how long so much arithmetic takes at the limit, found anew for each."""
    device = choose_device(None)
    dtype = torch.bfloat16 if in_bfloat16 else torch.float32
    return lambda: Lap(gflop / best_gflops(device, dtype, settings.limit_s), n_items)


def _best_seconds(work: Callable[[], object], device: torch.device, enough_s: float) -> float:
    def whole() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()

    whole()
    laps, started = [seconds_of(whole)], time.perf_counter()
    while time.perf_counter() - started < enough_s:
        laps.append(seconds_of(whole))
    return min(laps)
