"""The detector: a trained network with its front end; audio in, events, scores and maps out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Self, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sedmtl.data import audio
from sedmtl.events import Detection
from sedmtl.features.encoder import Encoder, EncoderError
from sedmtl.inference.checkpoint import load_encoder, read_checkpoint
from sedmtl.inference.embedding import Embedding, embed
from sedmtl.inference.inspection import Inspection, repeated
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.prediction import (
    BATCH_SIZE,
    Prediction,
    predict_each,
    stream_events,
    windows_of,
)
from sedmtl.inference.sounds import Sound, blocks_of, incoming, mono, paths_of
from sedmtl.inference.trained_network import TrainedNetwork
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.prefetch import prefetch

Array = npt.NDArray[np.float32]


class Detector:
    """Predicts on audio of any sample rate, channel count and level, from a run folder alone.

    Audio is prepared as for training: channels averaged, resampled, cut or padded with silence to
    the clip length, and scaled to the same peak. A sound is an audio file, or a waveform (N,) or
    (N, channels) with its sample rate in Hz.

    Attributes:
        card: Model card of the run: classes, front end, sizes.
        device: Device of the network.
        network: The network with its front end.
    """

    def __init__(
        self,
        card: ModelCard,
        network: nn.Module,
        device: torch.device | str = "cpu",
        *,
        channels_last: bool = True,
        heads: Mapping[str, nn.Module] = MappingProxyType({}),
        encoder: Encoder | None = None,
    ) -> None:
        self.card, self.device = card, torch.device(device)
        self.network = TrainedNetwork(
            card, network, self.device, channels_last=channels_last, heads=heads, encoder=encoder
        )

    @classmethod
    def load(
        cls,
        run: str | Path,
        device: torch.device | str = "cpu",
        *,
        channels_last: bool = True,
        with_heads: bool = False,
        encoder: str | Path | None = None,
    ) -> Self:
        """Open the folder of a finished run.

        Channels-last weights are faster; the output differs from PyTorch's default layout in the
        last bits.

        Args:
            run: The folder.
            device: Device to compute on.
            channels_last: Memory layout of the weights.
            with_heads: Whether to run the task heads as well, in `activations` and `inspect`.
            encoder: File of the frozen encoder, if the run was trained on its frames. No other
                encoder file is opened.

        Raises:
            SedmtlError: The folder holds no finished run or a damaged one, or its encoder is not
                given or is another file.
        """
        saved = read_checkpoint(Path(run))
        card, network = saved.card, saved.network()
        heads = saved.heads() if with_heads else {}
        opened = load_encoder(Path(run), card, None if encoder is None else Path(encoder))
        return cls(card, network, device, channels_last=channels_last, heads=heads, encoder=opened)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.card.classes

    @property
    def duration_s(self) -> float:
        """Length in seconds of the clips that the network was trained on."""
        return self.card.duration_s

    @overload
    def predict(  # type: ignore[overload-overlap]  # a string is a sequence of strings, too
        self,
        sound: Sound,
        sample_rate: int | None = None,
        *,
        settings: PostProcessing | None = None,
    ) -> Prediction: ...

    @overload
    def predict(
        self, sound: Sequence[str | Path], *, settings: PostProcessing | None = None
    ) -> list[Prediction]: ...

    def predict(
        self,
        sound: Sound | Sequence[str | Path],
        sample_rate: int | None = None,
        *,
        settings: PostProcessing | None = None,
    ) -> Prediction | list[Prediction]:
        """Find the events of a recording of any length, or of each of several files.

        Args:
            sound: A file, a waveform, or a list of files. For many files, `predict_many` reads
                ahead, skips broken ones, and yields each result as soon as it is ready.
            sample_rate: Sample rate of a waveform, in Hz.
            settings: Post-processing; by default as tuned for the run.

        Returns:
            The prediction; for a list, predictions in its order, without frame scores.

        Raises:
            SedmtlError: Audio cannot be read, or a waveform has no rate. The headers of all files
                in a list are checked first, so that a missing file is reported before hours of
                work.
        """
        card, settings = self.card, settings or self.card.postprocessing
        if isinstance(sound, Sequence) and not isinstance(sound, str):
            paths = paths_of(sound)
            audio.probe_all(paths)
            with closing(self.predict_many(paths, settings)) as predictions:
                return [replace(_raised(p), filename=str(paths[i])) for i, p in predictions]
        blocks = blocks_of(sound, sample_rate, card.sample_rate)
        windows = ((0, window) for window in windows_of(blocks, card))
        score = self.network.score_windows
        ((_, found),) = predict_each(windows, score, card, settings, keeps_frames=True)
        return _raised(found)

    def stream(
        self,
        blocks: Iterable[npt.ArrayLike],
        sample_rate: int,
        *,
        settings: PostProcessing | None = None,
    ) -> Iterator[Detection]:
        """Find the events of a live stream, each as soon as it is final.

        The events equal those that `predict` finds in the whole recording, however it is split into
        blocks: both use windows of the clip length that are scaled to the same peak individually.
        Only the last bits may differ, since windows are scored one by one here, not in batches.

        The latency after the end of an event is at most a clip length plus `settings.gap_s`, half a
        median filter, two frames and the resampler's delay (18 ms from 48 to 32 kHz); on average it
        is half a clip length less. Events that have not ended are not yielded. Memory use is
        constant.

        Args:
            blocks: Consecutive blocks of any length, (n,) or (n, channels), with samples from -1
                to 1. They are copied, so that a buffer can be reused.
            sample_rate: Sample rate of the blocks, in Hz.
            settings: Post-processing without boxes; by default as tuned for the run:
                `card.streaming` if `card.postprocessing` has boxes.

        Yields:
            Events; those that become final together are sorted by onset. The remaining events
            follow when the blocks end.

        Raises:
            SedmtlError: A block has another shape or a non-finite sample, the blocks hold no audio,
                or the settings ask for boxes, which need the whole recording.
        """
        card = self.card
        settings = settings or card.streaming or card.postprocessing
        if settings.step_s:
            raise SedmtlError(
                "boxes need the whole recording, and a stream a median filter: give other "
                "settings, dataclasses.replace(detector.card.postprocessing, step_s=0.0, "
                "median_s=0.8), or train the run again, which also tunes a filter for streams"
            )
        audio_blocks = incoming(blocks, sample_rate, card.sample_rate)
        return stream_events(audio_blocks, self.network.score_windows, card, settings)

    def embed(self, sound: Sound, sample_rate: int | None = None) -> Embedding:
        """Compute the encoder's output for a recording of any length, in float32.

        Windows are cut, scaled and cross-faded as in `predict`, and the frames are those of its
        frame scores, `card.grid.hop_s` seconds each. With a network that pools time (pooled, crnn),
        about two adjacent frames share a value. D is `card.network.n_channels`.

        Raises:
            SedmtlError: The audio cannot be read or has no rate, or the network is a probe, which
                has no encoding of its own.
        """
        check_encodes(self.card)

        def encode(waveforms: Array) -> Array:
            output = self.network.activations(*self.network.inputs(waveforms))
            encoded = output.encoded  # (B, D, T, F)
            assert encoded is not None, "a network with modules of an encoder gives what they make"
            return repeated(encoded.mean(dim=-1).cpu().numpy(), 2, self.card.grid.n_frames)

        blocks = blocks_of(sound, sample_rate, self.card.sample_rate)
        return embed(blocks, encode, self.card.grid)

    def predict_many(
        self,
        paths: Sequence[str | Path],
        settings: PostProcessing | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        n_workers: int = 1,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Generator[tuple[int, Prediction | SedmtlError], None, None]:
        """Find the events of many recordings of any length.

        Threads read ahead, and batches combine windows of several recordings, which is faster for
        short recordings and fills a GPU. Close the iterator (`contextlib.closing`) to stop the
        threads early.

        Args:
            paths: Audio files.
            settings: Post-processing; by default as tuned for the run.
            batch_size: Windows per batch.
            n_workers: Recordings read in parallel.
            advance: Progress callback; gets the seconds of audio just scored.

        Yields:
            The index of each recording, in order, with its prediction or the error from reading it.
        """
        card, settings = self.card, settings or self.card.postprocessing
        files, score = paths_of(paths), self.network.score_windows
        blocks = (audio.stream(path, card.sample_rate) for path in files)
        sources = (windows_of(each, card) for each in blocks)
        with prefetch(sources, n_workers, batch_size) as windows:
            for number, found in predict_each(
                windows, score, card, settings, batch_size=batch_size, advance=advance
            ):
                if isinstance(found, EncoderError):
                    found = found.where(files[number])
                yield number, found

    def inspect(
        self, sound: Sound, sample_rate: int | None = None, *, start_s: float = 0.0
    ) -> Inspection:
        """Inspect one clip, `duration_s` of audio from `start_s`, in float32.

        Raises:
            SedmtlError: The audio cannot be read, ends before `start_s`, or has no rate.
        """
        card, network = self.card, self.network
        waveform = mono(sound, sample_rate, card.sample_rate, start_s, self.duration_s)
        clip = audio.conform(waveform, card.n_samples)[None]
        output = network.activations(*network.inputs(clip), reconstruct=card.reconstructs)
        logmel = network.standardisers["logmel"](network.logmel(clip))
        duration_s = min(len(waveform) / card.sample_rate, self.duration_s)
        return Inspection.of(card, logmel, output, start_s, duration_s)


def check_encodes(card: ModelCard) -> None:
    """Check that a network has an encoding of its own.

    Raises:
        SedmtlError: It is a probe.
    """
    if not card.network.encoder_modules:
        raise SedmtlError(
            f"{card.model} has no encoding of its own: take its encoder's frames, which 'sedmtl "
            "embed' writes without --run"
        )


def _raised(found: Prediction | SedmtlError) -> Prediction:
    if isinstance(found, SedmtlError):
        raise found
    return found
