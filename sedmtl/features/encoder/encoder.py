"""An encoder opened from its file: windows of audio in, frames of their middles out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np

from sedmtl.config import EncoderFile
from sedmtl.data.audio import Audio, resample
from sedmtl.features.encoder.framing import Framing
from sedmtl.features.encoder.input_layout import InputLayout
from sedmtl.features.encoder.output import Frames, frames_of_hop, vectors_of
from sedmtl.features.encoder.runtimes import open_graph
from sedmtl.features.encoder.runtimes.graph import EncoderError, Graph
from sedmtl.features.encoder.trial import try_out
from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.text import counted
from sedmtl.runtime.workers.threads import all_cores, map_in_order, threads
from sedmtl.store import NOT_STATED, EncoderCard, RowArray

AT_ONCE = 2
"""Fewest windows of a recording that a thread processes together."""

State = tuple[int, int]
"""Modification time of a file, in ns, and its size."""

STATED = ("sample_rate", "window_s", "hop_s", "input", "output", "axes")
"""Keys of `features.encoder` that a file's metadata may give, as in files from `sedmtl export`."""


@dataclass(frozen=True)
class Encoder:
    """A frozen encoder, ready to run.

    Attributes:
        card: Description of the encoder and its frames.
        rounding: Relative error (RMS) of vectors in the dtype of the stores.
        framing: Positions of its windows.
        graph: The model that processes them.
        layout: Arrangement of windows as the model's input.
    """

    card: EncoderCard
    rounding: float
    framing: Framing
    graph: Graph
    layout: InputLayout
    _n_at_once: int

    @classmethod
    def open(cls, section: EncoderFile, path: Path) -> Self:
        """Open a file and test it with noise and silence.

        Args:
            section: The section of `data.yaml`.
            path: The file, resolved for this process.

        Raises:
            SedmtlError: The file is not an encoder that can be run, or a setting is given neither
                by its metadata nor by the section.
        """
        graph = open_graph(section.runtime, path, section.output)
        section = _with_stated(section, graph.stated, path)
        if section.sample_rate is None:
            raise SedmtlError(
                f"{path} does not say the rate of its input, in Hz: add "
                "features.encoder.sample_rate"
            )
        layout = InputLayout.of(section, graph.input_shape, path)
        window, rate = layout.n_samples, section.sample_rate
        hop = window if section.hop_s is None else round(section.hop_s * rate)
        if not 0 < hop <= window:
            raise SedmtlError(
                f"features.encoder.hop_s should be at least one sample, {1 / rate:.2g} s, and at "
                f"most the window's {window / rate:g} s, found {section.hop_s:g}"
            )
        tried, n_at_once = try_out(graph, layout, section.axes, path)
        _, n_frames, n_dims = tried.shape
        n_kept = frames_of_hop(n_frames, hop, window, rate)
        known = {
            "window_s": window / rate,
            "hop_s": hop / rate,
            "input": section.input or "waveform",
            "output": graph.output,
            "axes": section.axes or "TD",
        }
        card = EncoderCard(
            sha256=graph.sha256,
            runtime=section.runtime,
            settings={**section.deciding, **known},
            n_dims=n_dims,
            n_kept=n_kept,
            path=str(section.path),
            licence=section.licence or graph.stated.get("licence", NOT_STATED),
        )
        error = np.linalg.norm(_stored(tried, card) - tried)
        rounding = float(error / max(np.linalg.norm(tried), np.finfo(np.float32).tiny))
        framing = Framing.of(card, n_frames)
        return cls(card, rounding, framing, graph, layout, n_at_once)

    @classmethod
    def reopen(cls, card: EncoderCard, path: Path) -> Self:
        """Open the encoder of a store or run from the file that the user names.

        Raises:
            SedmtlError: The file is another one, or cannot be run.
        """
        values = {**card.settings, card.runtime: path, "licence": card.licence}
        opened = cls.open(EncoderFile.model_validate(values), path)
        if not opened.card.is_same(card):
            raise SedmtlError(
                f"{path} is not the run's encoder: expected SHA-256 {card.sha256[:12]}…, "
                f"found {opened.card.sha256[:12]}…; the run's was last seen as {card.path}"
            )
        return opened

    def check_rate(self, sample_rate: int) -> None:
        """Check that clips cover the encoder's bandwidth.

        Raises:
            SedmtlError: Their sample rate is lower than the encoder's.
        """
        if sample_rate < self.card.sample_rate:
            raise SedmtlError(
                f"the encoder {self.card.name} takes {self.card.sample_rate} Hz: "
                f"mixing.sample_rate should be at least that, found {sample_rate}; raise it in "
                "data.yaml"
            )

    def frames(self, waveform: Audio, sample_rate: int) -> Frames:
        """Compute the frames of a clip, in the dtype of the stores.

        Args:
            waveform: (N,) after `audio.conform`.
            sample_rate: Sample rate of the waveform.

        Returns:
            (T', D), with T' from `EncoderCard.n_frames`.

        Raises:
            EncoderError: The runtime fails, or a vector is not finite or exceeds the dtype's range.
        """
        n_frames = self.card.n_frames(len(waveform) / sample_rate)
        waveform = resample(waveform, sample_rate, self.card.sample_rate, "the clip")
        windows = self.framing.windows(waveform, self.framing.n_windows(n_frames))
        return _stored(self._kept(windows)[:n_frames], self.card)

    def stream(self, blocks: Iterable[Audio]) -> Iterator[Frames]:
        """Compute the frames of a recording of any length, on all cores, few windows at a time.

        Args:
            blocks: The recording in order, at the encoder's rate and its original level.

        Yields:
            (t, D) next frames; together they equal `frames` of the whole recording.
        """
        n_samples, n_given = 0, 0

        def count(block: Audio) -> Audio:
            nonlocal n_samples
            n_samples += len(block)
            return block

        with threads(all_cores()) as workers:
            for vectors in map_in_order(self._kept, self._cut(map(count, blocks)), workers):
                n_whole = self.card.n_frames(n_samples / self.card.sample_rate)
                yield _stored(vectors[: n_whole - n_given], self.card)
                n_given += len(vectors)

    def _cut(self, blocks: Iterable[Audio]) -> Iterator[Audio]:
        """Yield windows (n, window) of a recording padded with silence, some at a time."""
        framing, n_samples = self.framing, 0
        at_once = max(AT_ONCE, self._n_at_once)
        held = np.zeros(framing.n_before, np.float32)
        for block in blocks:
            n_samples += len(block)
            held = np.concatenate([held, block])
            while len(held) >= framing.span(at_once):
                yield framing.cut(held[: framing.span(at_once)])
                held = held[at_once * framing.hop :]
        n_done = (framing.n_before + n_samples - len(held)) // framing.hop
        n_frames = self.card.n_frames(n_samples / self.card.sample_rate)
        n_left = framing.n_windows(n_frames) - n_done
        if n_left > 0:
            padded = np.zeros(framing.span(n_left), np.float32)
            padded[: len(held)] = held[: len(padded)]
            yield framing.cut(padded)

    def _kept(self, windows: Audio) -> Frames:
        """Windows (n, window) -> the frames in their middles (n * n_kept, D)."""
        parts, first_kept = [], self.framing.n_skipped
        for first in range(0, len(windows), self._n_at_once):
            vectors = self._vectors(windows[first : first + self._n_at_once])
            kept = vectors[:, first_kept : first_kept + self.card.n_kept]
            parts.append(kept.reshape(-1, self.card.n_dims))
        return np.concatenate(parts)

    def _vectors(self, windows: Audio) -> Frames:
        """Windows (n, window), at most `_n_at_once` -> (n, T, D)."""
        axes = self.card.settings["axes"]
        return vectors_of(self.graph, self.layout, np.ascontiguousarray(windows), axes)

    def rows_of(self, duration_s: float) -> RowArray:
        """Row shape and type of clips' frames in a store."""
        shape = (self.card.n_frames(duration_s), self.card.n_dims)
        return RowArray(shape, np.dtype(self.card.settings["dtype"]))

    def announce(self, n_clips: int, duration_s: float, n_workers: int) -> None:
        """Describe the frames on stderr, and estimate the time they take for `n_clips`."""
        card = self.card
        n_windows = n_clips * self.framing.n_windows(card.n_frames(duration_s))
        length = progress.duration(n_windows * self._seconds_of_window() / n_workers)
        vectors = f"{counted(card.n_kept, 'vector')} of {card.n_dims} values"
        progress.say(
            f"frames of {card.name} (SHA-256 {card.sha256[:12]}…, licence: {card.licence}): "
            f"{vectors} every {card.settings['hop_s']:g} s, {card.settings['dtype']} to "
            f"{self.rounding:.1g} of their size; "
            f"{n_windows:,} windows of {card.settings['window_s']:g} s, about {length}"
        )

    def _seconds_of_window(self) -> float:
        """Time per window, measured once; `open` has warmed the model up."""
        silence = np.zeros((self._n_at_once, self.card.window), np.float32)
        started = time.monotonic()
        self._vectors(silence)
        return (time.monotonic() - started) / self._n_at_once


def open_encoder(section: EncoderFile, path: Path) -> Encoder:
    """Open the encoder that data.yaml names, once per process unless the file changes."""
    return _open_once(section, path, state_of(path))


@lru_cache(maxsize=1)
def _open_once(section: EncoderFile, path: Path, _: State) -> Encoder:
    return Encoder.open(section, path)


def state_of(path: Path) -> State:
    """Modification time and size of a file, which change if it is replaced.

    Raises:
        SedmtlError: There is no such file.
    """
    with explained(f"cannot read the encoder {path}", "; check features.encoder in data.yaml"):
        found = path.stat()
    return found.st_mtime_ns, found.st_size


def _with_stated(section: EncoderFile, stated: Mapping[str, str], path: Path) -> EncoderFile:
    """Fill the section's missing settings from the file's metadata."""
    given = section.model_dump(exclude_none=True)
    said = {key: stated[key] for key in STATED if key in stated}
    try:
        return EncoderFile.model_validate({**said, **given})
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise SedmtlError(f"the metadata of {path} is invalid: {reason}") from error


def _stored(frames: Frames, card: EncoderCard) -> Frames:
    """Convert frames to the dtype of the stores."""
    dtype = np.dtype(card.settings["dtype"])
    largest = np.abs(frames).max(initial=0)
    if not np.isfinite(largest):
        raise EncoderError(f"the encoder {card.name} gives NaN or infinity")
    if largest > np.finfo(dtype).max:
        raise EncoderError(
            f"the encoder {card.name} gives values up to {largest:.2g}, beyond what {dtype} holds: "
            "set features.encoder.dtype to float32"
        )
    return frames.astype(dtype)
