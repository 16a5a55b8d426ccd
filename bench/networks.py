"""The network on a feature store: as sedmtl runs it, and plainly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from bench.limits import network_gflop
from bench.project import SNR_DB, shared_project
from bench.settings import Settings
from sedmtl.config import load_config
from sedmtl.models import SedOutput
from sedmtl.runtime.devices import choose_device, choose_precision
from sedmtl.store import Store
from sedmtl.training.config import Recipe, build_network
from sedmtl.training.loop import Trainer, open_trainer
from sedmtl.training.split import split_rows

ALPHA = 0.001


def open_store(settings: Settings) -> Store:
    """The features that `project.prepare` has made."""
    path = load_config(shared_project(settings)).work_dir / "features" / f"snr_{SNR_DB}.h5"
    return Store(path, "logmel")


def recipe_of(settings: Settings) -> Recipe:
    """The paper's network, in the precision that sedmtl would choose here."""
    return Recipe(
        data=f"snr_{SNR_DB}",
        fold=1,
        alpha=ALPHA,
        width=settings.width,
        batch_size=settings.batch,
        precision=choose_precision(choose_device(None)),
    )


def trainer_of(settings: Settings, store: Store) -> Trainer:
    """As `sedmtl train` begins."""
    return open_trainer(recipe_of(settings), store, choose_device(None))


def gflop_of(settings: Settings, *, training: bool) -> float:
    """Arithmetic of one clip."""
    with open_store(settings) as store:
        n_frames, n_mels = store.row_shape
        n_classes = len(store.classes)
    return network_gflop(n_classes, n_frames, n_mels, settings.width, training=training)


class PlainNetwork:
    """The same network as a first script would run it.

    float32, tensors as they come, the decoder always on, all features in memory as arrays that
    `DataLoader` makes batches of.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        recipe = recipe_of(settings)
        split = split_rows(store.clips.fold, recipe.fold, recipe.seed)
        n_clips = len(split.train)
        assert n_clips >= settings.batch, f"batches of {settings.batch} from {n_clips} clips"
        frames = store.read(split.training_folds).astype(np.float64)
        mean, std = frames.mean(axis=(0, 1)), frames.std(axis=(0, 1))
        logmel = ((store.read(split.train) - mean) / std).astype(np.float32)
        target = store.clips.target[split.train].astype(np.float32)
        arrays = TensorDataset(torch.from_numpy(logmel), torch.from_numpy(target))
        self._loader = DataLoader(arrays, settings.batch, drop_last=True)
        self._device = choose_device(None)
        self.network: nn.Module = build_network(recipe, store).to(self._device)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=recipe.lr)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Standardised log-mels (B, T, F) and targets (B, C), without end."""
        while True:
            for logmel, target in self._loader:
                yield logmel.to(self._device), target.to(self._device)

    def step(self, logmel: Tensor, target: Tensor) -> float:
        """Learn from a batch; returns the loss."""
        output: SedOutput = self.network(logmel)
        detection = F.binary_cross_entropy(output.clip.clamp(0, 1), target)
        loss = detection + ALPHA * F.mse_loss(output.reconstruction, logmel)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return loss.item()

    def score(self, logmel: Tensor) -> npt.NDArray[np.float32]:
        """(B, T, F) -> (B, C)."""
        with torch.no_grad():
            clip: npt.NDArray[np.float32] = self.network(logmel).clip.cpu().numpy()
        return clip
