"""Changes of training clips that keep their labels, or unite them; no input or output.

All work on batches of log-mels on the device, with a generator whose state decides them.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from sedmtl.training.batches import PRESENCE, Batch
from sedmtl.training.recipe import Recipe

DB = log(10) / 20
"""One decibel in the log-mel, which is the natural logarithm of a magnitude."""

BANDS = (3, 6)
"""Fewest and most bands of FilterAugment (Nam, Kim and Park, ICASSP 2022: step type)."""


def augment(batch: Batch, recipe: Recipe, random: torch.Generator) -> Batch:
    """Apply what the recipe asks for, except masks, to raw log-mels."""
    if recipe.mixup:
        batch = mixup(batch, recipe.mixup, random)
    if recipe.roll:
        batch = roll(batch, recipe.roll, random)
    if recipe.filter_db:
        batch = batch.with_logmel(filtered(batch.logmel, recipe.filter_db, random))
    return batch


def add_energies(logmels: Tensor) -> Tensor:
    """(K, …) log-mels of K sounds -> (…), that of their sum divided by sqrt(K).

    Sounds that are not related add their energies. The division keeps the level of a clip.
    """
    return (torch.logsumexp(2 * logmels, dim=0) - log(len(logmels))) / 2


def mixup(batch: Batch, share: float, random: torch.Generator) -> Batch:
    """Mix a share of the clips with another clip at random (rarely with itself).

    Unlike a weighted sum of log-mels and labels, the result is a recording that could be: what
    sounds in either clip sounds in both, so the labels unite.
    """
    logmel = batch.logmel  # (B, T, F)
    n, device = len(logmel), logmel.device
    partner = torch.randperm(n, generator=random, device=device)
    is_mixed = torch.rand(n, generator=random, device=device) < share
    both = add_energies(torch.stack([logmel, logmel[partner]]))
    arrays = {**batch.arrays, "logmel": torch.where(is_mixed[:, None, None], both, logmel)}
    if PRESENCE in arrays:
        arrays[PRESENCE] = _united(arrays[PRESENCE], partner, is_mixed)
    return batch._replace(arrays=arrays, target=_united(batch.target, partner, is_mixed))


def _united(labels: Tensor, partner: Tensor, is_mixed: Tensor) -> Tensor:
    """(B, …) of 0 and 1: those of a clip and, where it is mixed, of its partner."""
    mixed = is_mixed.view(-1, *[1] * (labels.dim() - 1))
    return torch.where(mixed, torch.maximum(labels, labels[partner]), labels)


def roll(batch: Batch, share: float, random: torch.Generator) -> Batch:
    """Rotate each clip in time by up to a share of its length, forwards or backwards."""
    n, n_frames, _ = batch.logmel.shape
    device = batch.logmel.device
    shift = _uniform(n, random, device) * share * n_frames  # (B,)
    frames = torch.arange(n_frames, device=device)
    source = (frames - shift.round().long()[:, None]) % n_frames  # (B, T)
    arrays = dict(batch.arrays)
    arrays["logmel"] = batch.logmel.gather(1, source[:, :, None].expand_as(batch.logmel))
    if PRESENCE in arrays:
        presence = arrays[PRESENCE]  # (B, C, T)
        arrays[PRESENCE] = presence.gather(2, source[:, None].expand_as(presence))
    return batch._replace(arrays=arrays)


def filtered(logmel: Tensor, most_db: float, random: torch.Generator) -> Tensor:
    """Raise or lower each of a few bands of mel bins by a random level.

    FilterAugment in its step form, for each clip by itself.
    """
    n, _, n_mels = logmel.shape
    device = logmel.device
    fewest, most = BANDS
    n_bands = torch.randint(fewest, most + 1, (n, 1), generator=random, device=device)
    borders = torch.rand(n, most - 1, generator=random, device=device)
    # A border that a clip does not have is above all its bins.
    borders = borders.masked_fill(torch.arange(1, most, device=device) >= n_bands, 1.0)
    position = torch.arange(n_mels, device=device) / n_mels
    band = (position[None, :, None] >= borders[:, None, :]).sum(dim=2)  # (B, F)
    gain = _uniform((n, most), random, device) * most_db * DB
    return logmel + gain.gather(1, band)[:, None, :]


def masked(logmel: Tensor, longest: float, random: torch.Generator) -> Tensor:
    """Set a run of frames and a run of mel bins of each standardised clip to their mean, 0.

    Args:
        logmel: (B, T, F), standardised.
        longest: Of a mask, as a share of T and of F (SpecAugment, Park et al., 2019).
        random: Decides lengths and places.
    """
    for axis in (1, 2):
        size = logmel.shape[axis]
        length = torch.rand(len(logmel), 1, generator=random, device=logmel.device)
        length = length * longest * size
        begin = torch.rand(len(logmel), 1, generator=random, device=logmel.device)
        begin = begin * (size - length)
        at = torch.arange(size, device=logmel.device)
        hidden = (at >= begin) & (at < begin + length)  # (B, size)
        logmel = logmel.masked_fill(hidden.unsqueeze(3 - axis), 0.0)
    return logmel


def _uniform(size: int | tuple[int, ...], random: torch.Generator, device: torch.device) -> Tensor:
    """Uniform from -1 to 1."""
    return 2 * torch.rand(size, generator=random, device=device) - 1
