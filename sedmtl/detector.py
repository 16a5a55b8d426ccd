"""A trained network with the front end it was trained on: audio in, scores and maps out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sedmtl import audio
from sedmtl.checkpoint import ModelCard, load_model
from sedmtl.dataset import Rows, batches
from sedmtl.errors import SedmtlError
from sedmtl.models import SedOutput

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """What a network says about one clip, and what it looked at.

    Attributes:
        classes: Names of the C classes, in the order of every axis of classes.
        clip: (C,) in [0, 1], presence in the clip.
        frame: (C, T), the first attention step's output.
        mel_attention: (C, T, F), sums to 1 over mel bins; None if the network has none.
        time_attention: (C, T), sums to 1 over frames; None if the network has none.
        logmel: (T, F), the standardised log-mel that the network was given.
        reconstruction: (T, F), the decoder's version of it; None if none was trained.
        frame_edges_s: (T + 1,) where frames begin and end in the file, in seconds; a frame stands
            for the hop around the centre of its window.
        mel_hz: (F,) centre frequencies of the mel bins.
        duration_s: How much of the clip is audio; the rest, if any, is padding.
    """

    classes: tuple[str, ...]
    clip: Array
    frame: Array
    mel_attention: Array | None
    time_attention: Array | None
    logmel: Array
    reconstruction: Array | None
    frame_edges_s: npt.NDArray[np.float64]
    mel_hz: Array
    duration_s: float

    def ranking(self) -> list[tuple[str, float]]:
        """The classes with their clip scores, the most likely first."""
        order = np.argsort(-self.clip, kind="stable")
        return [(self.classes[i], float(self.clip[i])) for i in order]


class Detector:
    """Predicts on audio of any rate, channels and level, from a run folder alone.

    Attributes:
        card: What the run says of itself: classes, front end, sizes.
    """

    def __init__(self, card: ModelCard, network: nn.Module) -> None:
        self.card = card
        self._network = network.eval()
        self._logmel = card.build_logmel()
        self._standardiser = card.build_standardiser()

    @classmethod
    def load(cls, run: Path) -> Self:
        """Open a finished run.

        Raises:
            SedmtlError: The folder holds no finished run, or a damaged one.
        """
        return cls(*load_model(run))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.card.classes

    @property
    def duration_s(self) -> float:
        """Length of the clips that the network was trained on."""
        return self.card.n_samples / self.card.sample_rate

    def predict(
        self,
        sound: str | Path | npt.NDArray[np.floating],
        sample_rate: int | None = None,
        *,
        start_s: float = 0.0,
    ) -> Prediction:
        """Predict on one clip: `duration_s` of audio from `start_s` on.

        What training did to the audio is done here: channels averaged, resampled, cut or padded
        with silence, scaled to the same peak.

        Args:
            sound: An audio file, or a waveform (N,) or (N, channels).
            sample_rate: Of the waveform in Hz; not for files.
            start_s: Where the clip begins.

        Raises:
            SedmtlError: The audio cannot be read, ends before `start_s`, or has no rate.
        """
        waveform = self._read(sound, sample_rate, start_s)
        clip = audio.conform(waveform, self.card.n_samples)
        with torch.inference_mode():
            logmel = self._standardiser(self._logmel(torch.from_numpy(clip)[None]))
            output: SedOutput = self._network(logmel, reconstruct=self.card.reconstructs)
        duration_s = min(len(waveform) / self.card.sample_rate, self.duration_s)
        return self._prediction(logmel, output, start_s, duration_s)

    def score(
        self, read: Callable[[Rows], npt.NDArray[np.float32]], rows: Rows, batch_size: int = 24
    ) -> Array:
        """Clip scores of stored log-mels.

        Args:
            read: Log-mels (n, T, F) of rows, not standardised.
            rows: Which.
            batch_size: How many at a time.

        Returns:
            (n, C) in [0, 1].
        """
        with torch.inference_mode():
            scores = [
                self._network(
                    self._standardiser(torch.from_numpy(read(batch))), reconstruct=False
                ).clip.numpy()
                for batch in batches(rows, batch_size)
            ]
        return np.concatenate(scores)

    def _read(
        self, sound: str | Path | npt.NDArray[np.floating], rate: int | None, start_s: float
    ) -> audio.Audio:
        if isinstance(sound, str | Path):
            return audio.read(
                Path(sound), self.card.sample_rate, start_s=start_s, duration_s=self.duration_s
            )
        if not rate:
            raise SedmtlError("a waveform needs its sample_rate: predict(waveform, sample_rate)")
        sound = np.asarray(sound)
        if sound.ndim not in (1, 2) or (sound.ndim == 2 and sound.shape[0] < sound.shape[1]):
            raise SedmtlError(
                f"a waveform should be (N,) or (N, channels), found {sound.shape}: transpose it"
            )
        first = round(start_s * rate)
        samples = sound[first : first + round(self.duration_s * rate)].astype(np.float32)
        if not len(samples):
            raise SedmtlError(
                f"the waveform holds {len(sound) / rate:.2f} s: none at {start_s:g} s"
            )
        return audio.to_mono(samples, rate, self.card.sample_rate, where="the waveform")

    def _prediction(
        self, logmel: torch.Tensor, output: SedOutput, start_s: float, duration_s: float
    ) -> Prediction:
        window, hop = self.card.features["window"], self.card.features["hop"]
        edges = np.arange(self.card.n_frames + 1) * hop + (window - hop) / 2
        return Prediction(
            classes=self.classes,
            clip=output.clip[0].numpy(),
            frame=output.frame[0].numpy(),
            mel_attention=_first(output.mel_attention),
            time_attention=_first(output.time_attention),
            logmel=logmel[0].numpy(),
            reconstruction=_first(output.reconstruction),
            frame_edges_s=start_s + edges / self.card.sample_rate,
            mel_hz=self._logmel.centres_hz(),
            duration_s=duration_s,
        )


def _first(batch: torch.Tensor | None) -> Array | None:
    """The only clip of a batch, if there is a batch."""
    return None if batch is None else batch[0].numpy()
