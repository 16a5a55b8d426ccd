"""A trained network with the front end it was trained on: audio in, scores and maps out."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sedmtl.data import audio
from sedmtl.inference.checkpoint import ModelCard, load_model
from sedmtl.inference.inspection import Inspection
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.prediction import BATCH_SIZE, Prediction, predict_each, windows_of
from sedmtl.models import SedOutput
from sedmtl.runtime.devices import choose_precision
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.prefetch import prefetch
from sedmtl.store import Rows, batches

Array = npt.NDArray[np.float32]

STORED_BATCH_SIZE = 24
"""Stored log-mels at a time."""

Sound = str | Path | npt.NDArray[np.floating]


class Detector:
    """Predicts on audio of any rate, channels and level, from a run folder alone.

    What training did to the audio is done here: channels averaged, resampled, cut or padded with
    silence to the length of a clip, scaled to the same peak. A sound is an audio file, or a
    waveform (N,) or (N, channels) with its sample rate in Hz.

    Attributes:
        card: Model card of the run: classes, front end, sizes.
        device: Where it computes.
    """

    def __init__(
        self,
        card: ModelCard,
        network: nn.Module,
        device: torch.device | str = "cpu",
        *,
        channels_last: bool = True,
    ) -> None:
        self.card = card
        self.device = torch.device(device)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self._network = network.eval().to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self._logmel = card.build_logmel().to(self.device)
        self._standardiser = card.build_standardiser().to(self.device)
        # Scored as it was trained, where the hardware can.
        trained_in, computed_in = card.training["precision"], choose_precision(self.device)
        self._in_bfloat16 = trained_in == computed_in == "bfloat16"

    @classmethod
    def load(
        cls, run: str | Path, device: torch.device | str = "cpu", *, channels_last: bool = True
    ) -> Self:
        """Open the folder of a finished run.

        Weights whose channels are last in memory are faster, and the last bits of the output differ
        from those of PyTorch's default layout.

        Raises:
            SedmtlError: The folder holds no finished run, or a damaged one.
        """
        return cls(*load_model(Path(run)), device, channels_last=channels_last)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.card.classes

    @property
    def duration_s(self) -> float:
        """Length of the clips that the network was trained on."""
        return self.card.duration_s

    def predict(self, sound: Sound, sample_rate: int | None = None) -> Prediction:
        """Find the events of a recording of any length, with the run's own post-processing.

        Raises:
            SedmtlError: The audio cannot be read, or has no rate.
        """
        card = self.card
        if isinstance(sound, str | Path):
            blocks = audio.stream(Path(sound), card.sample_rate)
        else:
            blocks = iter([self._mono(sound, sample_rate)])
        windows = ((0, window) for window in windows_of(blocks, card))
        ((_, found),) = predict_each(
            windows, self.score_windows, card, card.postprocessing, keeps_frames=True
        )
        if isinstance(found, SedmtlError):
            raise found
        return found

    def predict_many(
        self,
        paths: Sequence[Path],
        settings: PostProcessing | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        n_workers: int = 1,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Generator[tuple[int, Prediction | SedmtlError], None, None]:
        """Find the events of many recordings of any length.

        Threads read ahead, and batches hold windows of several recordings: that is faster where
        recordings are short, and fills a GPU. Close the iterator (`contextlib.closing`) to stop the
        threads before its end.

        Args:
            paths: Audio files.
            settings: How frame scores become events; by default as the run tuned it.
            batch_size: Windows at a time.
            n_workers: Recordings that are read at once.
            advance: Called with the number of seconds of audio just scored.

        Yields:
            The number of each recording, in order, with what was found or why it cannot be read.
        """
        card, settings = self.card, settings or self.card.postprocessing
        sources = (windows_of(audio.stream(path, card.sample_rate), card) for path in paths)
        with prefetch(sources, n_workers, batch_size) as windows:
            yield from predict_each(
                windows, self.score_windows, card, settings, batch_size=batch_size, advance=advance
            )

    def inspect(
        self, sound: Sound, sample_rate: int | None = None, *, start_s: float = 0.0
    ) -> Inspection:
        """Look into one clip: `duration_s` of audio from `start_s` on, in float32.

        Raises:
            SedmtlError: The audio cannot be read, ends before `start_s`, or has no rate.
        """
        card = self.card
        if isinstance(sound, str | Path):
            at = {"start_s": start_s, "duration_s": self.duration_s}
            waveform = audio.read(Path(sound), card.sample_rate, **at)
        else:
            waveform = self._mono(sound, sample_rate, start_s, self.duration_s)
        logmel = self.logmel(audio.conform(waveform, card.n_samples)[None])
        output = self.activations(logmel, reconstruct=card.reconstructs)
        duration_s = min(len(waveform) / card.sample_rate, self.duration_s)
        return Inspection.of(card, self._standardiser(logmel), output, start_s, duration_s)

    def logmel(self, waveforms: Array) -> Tensor:
        """(B, n_samples) at the network's rate, not rescaled -> (B, T, F) natural logarithm."""
        with torch.inference_mode():
            logmel: Tensor = self._logmel(torch.from_numpy(waveforms).to(self.device))
        return logmel

    def activations(self, logmel: Tensor, *, reconstruct: bool = False) -> SedOutput:
        """All that the network computes of log-mels (B, T, F), not standardised, in float32.

        The decoder, if it runs, gives standardised ones.

        Raises:
            SedmtlError: The network overflows: its scores would be of nothing.
        """
        with torch.inference_mode():
            output: SedOutput = self._network(self._standardiser(logmel), reconstruct=reconstruct)
        # Sigmoids hide an overflow of the class map.
        if not all(each.isfinite().all() for each in (output.clip, output.frame, output.class_map)):
            raise SedmtlError(
                "the network's output is NaN or infinity: its weights are too large to compute "
                "with; train the run again"
            )
        return output

    def score_windows(self, waveforms: Array) -> tuple[Array, Array]:
        """Score clips (B, n_samples) that went through `audio.conform`.

        Returns:
            Clip scores (B, C) and frame scores (B, C, T), float32 in [0, 1].
        """
        return self._score(self.logmel(waveforms))

    def score(self, read: Callable[[Rows], Array], rows: Rows) -> tuple[Array, Array]:
        """Score stored log-mels: `read` gives those of rows, (n, T, F), not standardised.

        Returns:
            Clip scores (n, C) and frame scores (n, C, T), float32 in [0, 1].
        """
        clip = np.empty((len(rows), len(self.classes)), np.float32)
        frame = np.empty((*clip.shape, self.card.grid.n_frames), np.float32)
        for batch in batches(np.arange(len(rows)), STORED_BATCH_SIZE):
            logmel = torch.from_numpy(read(rows[batch])).to(self.device)
            clip[batch], frame[batch] = self._score(logmel)
        return clip, frame

    def _score(self, logmel: Tensor) -> tuple[Array, Array]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._in_bfloat16):
            output = self.activations(logmel)
        return output.clip.float().cpu().numpy(), output.frame.float().cpu().numpy()

    def _mono(
        self,
        sound: npt.NDArray[np.floating],
        rate: int | None,
        start_s: float = 0.0,
        duration_s: float = math.inf,
    ) -> Array:
        if not rate:
            raise SedmtlError("a waveform needs its sample_rate: predict(waveform, sample_rate)")
        sound = np.asarray(sound)
        if sound.ndim not in (1, 2) or (sound.ndim == 2 and sound.shape[0] < sound.shape[1]):
            raise SedmtlError(
                f"a waveform should be (N,) or (N, channels), found {sound.shape}: transpose it"
            )
        first = round(start_s * rate)
        last = round(min(start_s + duration_s, len(sound) / rate) * rate)
        samples = sound[first:last].astype(np.float32)
        if not len(samples):
            raise SedmtlError(
                f"the waveform holds {len(sound) / rate:.2f} s: none at {start_s:g} s"
            )
        return audio.to_mono(samples, rate, self.card.sample_rate, where="the waveform")
