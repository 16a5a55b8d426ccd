"""New mixtures of the corpora's events and scenes, drawn and rendered in every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sedmtl.config import Config, Mixing, Remix
from sedmtl.data.draw import Chances, Drawn, DrawnEvent, draw
from sedmtl.data.mixture_tables import event_table
from sedmtl.data.plan import Pool
from sedmtl.data.sources import Sources
from sedmtl.features.targets import Placed, make_targets, target_arrays
from sedmtl.logmel import LogMel
from sedmtl.runtime import distributed
from sedmtl.runtime.workers.threads import all_cores
from sedmtl.store import FULL_SCALE, Store
from sedmtl.training.batches import BatchLoader, ReadRows, fits
from sedmtl.training.known import Knowledge


class EventRemixer:
    """Mixes events with scenes by the rules of the plan.

    Args:
        sources: The decoded audio.
        pool: Events and scenes to draw from.
        project: Its mixing and feature settings.
        remix: The ranges.
        store: Provides the classes, and the SNR if `remix` has no range for it.
        n_clips: Mixtures per epoch.
        seed: The run's seed.
        device: Device of the batches. A GPU keeps the sources and does the mixing if they take
            less than half of its free memory; otherwise the CPU mixes from the memory-mapped file.
        knowledge: Makes the arrays of strong labels and scenes.
        targets: Arrays of `features.targets` to make as well.
        chances: Sampling probabilities of the pool's clips; None for uniform.
    """

    def __init__(
        self,
        sources: Sources,
        pool: Pool,
        project: Config,
        remix: Remix,
        store: Store,
        n_clips: int,
        seed: int,
        device: torch.device,
        knowledge: Knowledge | None = None,
        targets: Sequence[str] = (),
        chances: Chances | None = None,
    ) -> None:
        self.n_clips, self.digest = n_clips, sources.digest
        events = (f"event {clip.name}" for clip in pool.clips)
        self.recordings = frozenset([*events, *(f"scene {scene.name}" for scene in pool.scenes)])
        self._sources, self._pool, self._remix = sources, pool, remix
        self._mixing: Mixing = project.mixing
        self._classes, self._snr_db = store.classes, float(store.attributes["snr_db"])
        self._label = {name: label for label, name in enumerate(store.classes)}
        fewest_and_most = remix.events_per_mixture or (self._mixing.events_per_mixture,)
        self._n_slots, self._targets = fewest_and_most[-1], targets
        self._row_shape = store.row_shape
        self._seed, self._device, self._knowledge = seed, device, knowledge
        self._chances = chances
        rate = self._mixing.sample_rate
        self._lengths_s = {
            name: [part.n_samples / rate for part in parts]
            for name, parts in sources.events.items()
        }
        where = device if fits(sources.samples.nbytes, device) else torch.device("cpu")
        self._samples = torch.from_numpy(sources.samples).to(where)
        self._logmel = LogMel(rate, **project.features.logmel).to(where)

    def loader(self, epoch: int) -> BatchLoader:
        """The mixtures of an epoch."""
        drawn = [self.draw(epoch, number) for number in range(self.n_clips)]
        events = event_table([each.events for each in drawn], self._classes)
        target = events.target(len(drawn), len(self._classes))
        reads: dict[str, ReadRows] = {}
        if self._knowledge is not None:
            reads |= self._knowledge.of(events, [each.scene.name for each in drawn])
        n_readers = max(1, all_cores() // distributed.world_size())
        return BatchLoader(
            reads, target, self._device, resident=False, n_readers=n_readers,
            together=lambda rows: self._arrays([drawn[row] for row in rows]),
        )  # fmt: skip

    def draw(self, epoch: int, number: int) -> Drawn:
        """One mixture of an epoch."""
        rng = np.random.default_rng([self._seed, epoch, number])
        how = (self._mixing, self._remix, self._snr_db, rng, self._chances)
        return draw(self._pool, self._lengths_s, *how)

    def _arrays(self, drawn: Sequence[Drawn]) -> dict[str, Tensor]:
        """Log-mels (B, T, F) and targets, computed clip by clip for cache locality."""
        device, shapes = self._samples.device, target_arrays(self._n_slots, *self._row_shape)
        if not drawn:  # a process may get no clip of a batch
            empty = {name: (0, *shapes[name].row_shape) for name in self._targets}
            empty["logmel"] = (0, *self._row_shape)
            return {name: torch.empty(shape, device=device) for name, shape in empty.items()}
        if device.type == "cpu":
            torch.set_num_threads(1)  # this thread is one of several readers
        with torch.inference_mode():
            made = [self._arrays_of(each) for each in drawn]
            return {name: torch.stack([each[name] for each in made]) for name in made[0]}

    def _arrays_of(self, drawn: Drawn) -> dict[str, Tensor]:
        mixture, events = self.mix_with_events(drawn)
        targets = make_targets(self._targets, events, len(mixture), self._n_slots, self._logmel)
        return {"logmel": self._logmel(mixture[None])[0], **targets}

    def mix(self, drawn: Drawn) -> Tensor:
        """(N,) amplitudes of a mixture, equal to `render.render` after int16 storage."""
        return self.mix_with_events(drawn)[0]

    def mix_with_events(self, drawn: Drawn) -> tuple[Tensor, list[Placed]]:
        """Like `mix`, with the isolated events as well if targets are made from them."""
        n_samples, rate = self._mixing.n_samples, self._mixing.sample_rate
        events = torch.zeros(n_samples, device=self._samples.device)
        placed = []
        for event in drawn.events:
            onset = round(event.onset_s * rate)
            segment = self._play(event)[: n_samples - onset]
            gain = self._sources.events[event.clip.name][event.part].gain
            events[onset : onset + len(segment)].add_(segment, alpha=gain)
            placed.append((Placed(self._label[event.clip.label], onset, segment), gain))
        scene = self._sources.scenes[drawn.scene.name]
        gain = 10 ** (drawn.snr_db / 20)
        # Kept as tensors: reading a value would synchronise with the GPU.
        peak = (gain * events.abs().amax()).clamp_min(scene.gain * FULL_SCALE)
        scale = FULL_SCALE / (2 * peak)
        samples = self._samples[scene.first : scene.first + n_samples]
        mixture = samples * (scene.gain * scale)
        mixture = mixture.add_(events.mul_(gain * scale)).round_().div_(FULL_SCALE)
        alone = [
            each._replace(samples=(each.samples * (own * gain * scale)).round_().div_(FULL_SCALE))
            for each, own in placed
            if self._targets
        ]
        return mixture, alone

    def _play(self, event: DrawnEvent) -> Tensor:
        """(n,) samples of an event at its playback speed, by linear interpolation.

        At 0.86 and 1.16 times the speed and 32 kHz, images and aliases of a tone of 4, 8 and 12 kHz
        are 32, 18 and 8 dB below it. All results use this; windowed sincs were not tried.
        """
        source = self._sources.events[event.clip.name][event.part]
        segment = self._samples[source.first : source.first + source.n_samples]
        if event.speed == 1:
            return segment
        length_s = event.offset_s - event.onset_s
        n_played = max(1, round(length_s * self._mixing.sample_rate))
        played = segment[: max(1, round(n_played * event.speed))].float()
        return F.interpolate(played[None, None], size=n_played, mode="linear")[0, 0]
