"""The schema of `data.yaml`: keys, allowed values and defaults."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, PrivateAttr, field_validator, model_validator

from sedmtl.config.corpora import Corpus
from sedmtl.config.encoder import EncoderFile
from sedmtl.config.section import AnyPath, Section, wrong
from sedmtl.runtime.errors import SedmtlError

PAPER_F_MAX = 16_000.0
"""Upper edge of the mel filters in Hz: half of the paper's sample rate."""

ROUNDING_S = 1e-9
"""Tolerance for adjacent events: sums of decimal seconds, such as 0.1 + 0.2, err by less."""

MAX_SAMPLES, MAX_WINDOWED, MAX_BINS = 1 << 25, 1 << 27, 1 << 22
"""Limits of a clip: samples (17 minutes at 32 kHz), samples in all its windows together, and mel
bins in all its frames together."""

MAX_MIXTURES, MAX_EVENTS = 1_000_000, 10_000_000
"""Limits over all folds; planning that many takes half a minute and gigabytes."""

Level = Annotated[float, Field(ge=-100, le=100)]
"""A level in dB."""
Count = Annotated[int, Field(ge=1, le=10_000)]
Speed = Annotated[float, Field(ge=0.25, le=4)]
EventPart = Literal["any", "first"]
"""Parts of a clip that may become an event of a new mixture (`Remix`)."""


class Mixing(Section):
    """The mixing protocol (paper, section IV-A, and the earlier recipe it builds on)."""

    sample_rate: int = Field(default=32_000, ge=4_000, le=384_000)
    duration_s: float = Field(default=10.0, gt=0, le=3_600)
    snrs_db: tuple[Level, ...] = Field(default=(0.0, 10.0, 20.0), min_length=1)
    folds: int = Field(default=4, ge=2, le=255)
    mixtures_per_fold: int = Field(default=2_000, ge=1, le=1_000_000)
    events_per_mixture: int = Field(default=3, ge=1, le=10_000)
    event_s: float = Field(default=2.0, ge=0.001)
    onsets: Literal["fixed", "random"] | tuple[Annotated[float, Field(ge=0)], ...] = "fixed"
    overlap: bool = False
    snr_over: Literal["file", "segment"] = "file"
    location_disjoint: bool = False
    reuse_scenes: bool = False
    seed: int = Field(default=0, ge=0)

    @property
    def n_samples(self) -> int:
        """Samples of one clip."""
        return round(self.duration_s * self.sample_rate)

    @property
    def n_mixtures(self) -> int:
        """Mixtures of all folds, at one SNR."""
        return self.folds * self.mixtures_per_fold

    @property
    def n_event_samples(self) -> int:
        """Samples of the longest event."""
        return round(self.event_s * self.sample_rate)

    @property
    def fixed_onsets_s(self) -> tuple[float, ...]:
        """The fixed onsets; by default 0.5 s of scene before each event: 0.5, 3.0, 5.5 s."""
        if isinstance(self.onsets, tuple):
            return self.onsets
        return tuple(0.5 + k * (self.event_s + 0.5) for k in range(self.events_per_mixture))

    @model_validator(mode="after")
    def _keep_to_a_size(self) -> Self:
        n_mixtures = self.n_mixtures
        if n_mixtures > MAX_MIXTURES:
            raise wrong(
                f"folds and mixtures_per_fold should make at most {MAX_MIXTURES:,} mixtures, found "
                f"{n_mixtures:,}"
            )
        if n_mixtures * self.events_per_mixture > MAX_EVENTS:
            raise wrong(
                f"all mixtures should have at most {MAX_EVENTS:,} events, found "
                f"{n_mixtures * self.events_per_mixture:,}"
            )
        return self

    @field_validator("snrs_db")
    @classmethod
    def _name_each_snr_once(cls, snrs_db: tuple[float, ...]) -> tuple[float, ...]:
        # Stores are named so, and SNRs that print alike would share one. Adding 0 turns -0 into 0.
        if len({f"{snr_db + 0:g}" for snr_db in snrs_db}) < len(snrs_db):
            raise wrong("should name each SNR once")
        return snrs_db

    def find_misfit(self, n_events: int | None = None) -> str | None:
        """Reason why the events of a mixture cannot be placed as configured; None if they can.

        It is not a validator, because it matters only to projects that mix.
        """
        n_events, event_s = n_events or self.events_per_mixture, self.event_s
        if self.onsets == "random":
            n_in_a_row = 1 if self.overlap else n_events
            what = f"{n_in_a_row} events" if n_in_a_row > 1 else "an event"
            return self._exceed(f"{what} of {event_s:g} s", n_in_a_row * event_s)
        onsets_s = sorted(self.fixed_onsets_s)
        if len(onsets_s) != n_events:
            return f"onsets should be {n_events} (events_per_mixture), found {len(onsets_s)}"
        apart_s = min((b - a for a, b in pairwise(onsets_s)), default=event_s)
        if not self.overlap and apart_s < event_s - ROUNDING_S:
            return (
                f"onsets should be {event_s:g} s (event_s) apart, unless overlap is true; found "
                f"{apart_s:g} s"
            )
        what = f"an event of {event_s:g} s at {onsets_s[-1]:g} s"
        return self._exceed(what, onsets_s[-1] + event_s)

    def _exceed(self, what: str, needed_s: float) -> str | None:
        if needed_s <= self.duration_s + ROUNDING_S:
            return None
        return f"{what} should fit into the {self.duration_s:g} s of a mixture (duration_s)"


class Remix(Section):
    """The new mixtures of each epoch of `train --remix`; None means as in the store.

    Attributes:
        mixtures_per_epoch: By default the number of the store's training mixtures.
        snr_db: Lowest and highest; by default the SNR of the store.
        events_per_mixture: Fewest and most; by default as in `mixing`.
        event_part: `any`: for each mixture, a random part of the clip that is not much quieter
            than the whole. `first`: the first `event_s` seconds, as in the stores.
        speed: Lowest and highest playback speed of an event, which also changes its pitch.
        clips_per_mixture: Fewest and most custom recordings (`corpus.clips`) in a mixture.
    """

    mixtures_per_epoch: int | None = Field(default=None, ge=1, le=100_000)
    snr_db: tuple[Level, Level] | None = None
    events_per_mixture: tuple[Count, Count] | None = None
    event_part: EventPart = "any"
    speed: tuple[Speed, Speed] = (0.86, 1.16)
    clips_per_mixture: tuple[Count, Count] = (1, 2)

    @field_validator("snr_db", "events_per_mixture", "speed", "clips_per_mixture")
    @classmethod
    def _rise(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and bounds[0] > bounds[1]:
            raise wrong("should be the lowest value, then the highest")
        return bounds


class Features(Section):
    """The log-mel (paper, section IV-C; details as in the earlier recipe it builds on).

    Attributes:
        encoder: A frozen encoder whose frames are computed in addition to the log-mel.
    """

    window: int = Field(default=2_048, ge=16, le=1 << 20)
    hop: int = Field(default=1_024, ge=1)
    n_mels: int = Field(default=64, ge=2, le=4_096)
    f_min: float = Field(default=50.0, ge=0)
    f_max: float = Field(default=PAPER_F_MAX, gt=0)
    encoder: EncoderFile | None = None

    @property
    def logmel(self) -> dict[str, Any]:
        """The arguments of `LogMel` besides the sample rate."""
        return self.model_dump(exclude={"encoder"})

    @model_validator(mode="after")
    def _order_the_band(self) -> Self:
        if self.f_min >= self.f_max:
            raise wrong(f"f_min should be below f_max, found {self.f_min:g} and {self.f_max:g}")
        return self


class Config(Section):
    """A whole `data.yaml`."""

    workdir: AnyPath = Path("work")
    corpus: Corpus = Corpus()
    mixing: Mixing = Mixing()
    features: Features = Features()
    remix: Remix = Remix()
    _folder: Path = PrivateAttr(default=Path())
    _encoder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _end_the_band_at_half_the_rate(cls, value: Any) -> Any:
        """At lower sample rates, replace the default upper edge by half the sample rate."""
        value = value or {}
        mixing, features = value.get("mixing"), value.get("features") or {}
        rate = mixing.get("sample_rate") if isinstance(mixing, dict) else None
        given = not isinstance(features, dict) or "f_max" in features
        if not given and isinstance(rate, int | float) and 0 < rate / 2 < PAPER_F_MAX:
            return {**value, "features": {**features, "f_max": rate / 2}}
        return value

    @model_validator(mode="after")
    def _fit_the_events(self) -> Self:
        only_clips = self.corpus.clips and not (self.corpus.events or self.corpus.scenes)
        misfit = self.mixing.find_misfit()
        if misfit and not only_clips:
            raise wrong(f"mixing: {misfit}")
        _, most = self.remix.events_per_mixture or (0, 0)
        if most > self.mixing.events_per_mixture and not only_clips:
            misfit = self.mixing.find_misfit(most)
            if self.mixing.onsets != "random":
                misfit = f"fixed onsets have room for {self.mixing.events_per_mixture} events"
            if misfit:
                raise wrong(f"remix.events_per_mixture: {misfit}, found {most}")
        return self

    @model_validator(mode="after")
    def _match_features_to_clips(self) -> Self:
        nyquist = self.mixing.sample_rate / 2
        if self.features.f_max > nyquist:
            raise wrong(
                f"features.f_max: should be at most {nyquist:g} (half of mixing.sample_rate), "
                f"found {self.features.f_max:g}"
            )
        if self.features.window > self.mixing.n_samples:
            raise wrong(
                f"features.window: should be at most a clip's {self.mixing.n_samples} samples, "
                f"found {self.features.window}"
            )
        features = self.features
        sizes = (self.mixing.n_samples, features.window, features.hop, features.n_mels)
        if excess := find_excess(*sizes):
            raise wrong(f"mixing.duration_s, features: {excess}")
        return self

    def locate(self, path: Path) -> Path:
        """Resolve a path of `data.yaml`, relative to that file's folder.

        Raises:
            SedmtlError: The path begins with the home folder of an unknown user.
        """
        try:
            return self._folder / path.expanduser()
        except RuntimeError:
            raise SedmtlError(f"no user {path.parts[0]}: check the paths in data.yaml") from None

    @property
    def work_dir(self) -> Path:
        """The folder for everything that is written."""
        return self.locate(self.workdir)

    @property
    def encoder_path(self) -> Path | None:
        """Absolute path of the file of `features.encoder`; None if there is none."""
        if self.given_encoder is not None:
            return self.given_encoder.absolute()
        section = self.features.encoder
        return None if section is None else self.locate(section.path).absolute()

    @property
    def given_encoder(self) -> Path | None:
        """The file that `with_encoder` has put in its place."""
        return self._encoder

    def with_encoder(self, path: Path) -> Self:
        """The same project with another encoder file for runs."""
        other = self.model_copy()
        other._encoder = path
        return other

    def describe(self, *sections: str) -> str:
        """The named sections with defaults filled in, as YAML, to be stored with the results.

        Paths stay as written, so that the same `data.yaml` gives the same bytes in any folder.
        """
        data = self.model_dump(mode="json", include=set(sections))
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def find_excess(n_samples: int, window: int, hop: int, n_mels: int) -> str | None:
    """Reason why clips are too large; None if they are not."""
    n_frames = 1 + max(n_samples - window, 0) // hop
    sizes = {
        "samples": (n_samples, MAX_SAMPLES),
        "samples in all windows together": (n_frames * window, MAX_WINDOWED),
        "mel bins in all frames together": (n_frames * n_mels, MAX_BINS),
    }
    for what, (found, most) in sizes.items():
        if found > most:
            return f"a clip should have at most {most:,} {what}, found {found:,}"
    return None
