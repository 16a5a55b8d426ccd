"""`data.yaml`: the corpora, how they are mixed, how features are made.

One validated schema whose defaults are the paper's. It knows nothing of networks and training:
those are options of `sedmtl train` and are recorded in the run folder. Bottom of the ladder;
imports only `errors`.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sedmtl.errors import SedmtlError, suggest


def _misfit(what: str, duration_s: float) -> PydanticCustomError:
    text = f"{what} should fit into the {duration_s:g} s of a mixture (duration_s)"
    return PydanticCustomError("misfit", "{text}", {"text": text})


class Section(BaseModel):
    """A part of `data.yaml`: immutable, and every key must be known."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, value: Any) -> Any:
        unknown = (
            [key for key in value if key not in cls.model_fields] if isinstance(value, dict) else []
        )
        if unknown:
            key = str(unknown[0])
            hint = suggest(key, cls.model_fields)
            raise PydanticCustomError(
                "unknown_key", "{text}", {"text": f"'{key}' is no key; {hint}"}
            )
        return value


class FsdKaggle2018(Section):
    """Events: the training part of FSDKaggle2018 in its published layout."""

    kind: Literal["fsdkaggle2018"]
    root: Path
    verified_only: bool = True


class Tau2019(Section):
    """Scenes: TAU Urban Acoustic Scenes 2019, development set, in its published layout."""

    kind: Literal["tau2019"]
    root: Path


class Folder(Section):
    """Events or scenes of one's own: one sub-folder a class."""

    kind: Literal["folder"]
    root: Path


class Table(Section):
    """Events or scenes of one's own: a CSV with the columns `file` and `label`."""

    kind: Literal["csv"]
    csv: Path | None = None
    root: Path | None = None

    @model_validator(mode="after")
    def _name_a_csv(self) -> Self:
        if self.csv is None and (self.root is None or self.root.suffix.lower() != ".csv"):
            raise PydanticCustomError("csv", "needs a key 'csv' that names the CSV file")
        return self


class Synthetic(Section):
    """The built-in procedural corpus, written below `root` as WAV files when first needed."""

    kind: Literal["synthetic"]
    root: Path = Path("synthetic")
    seed: int = Field(default=0, ge=0)
    clips_per_class: int = Field(default=24, ge=1)


class Clips(Section):
    """Weakly labelled recordings of one's own: `filename,labels[,fold]`, no mixing needed."""

    csv: Path
    root: Path | None = None


EventCorpus = Annotated[FsdKaggle2018 | Folder | Table | Synthetic, Field(discriminator="kind")]
SceneCorpus = Annotated[Tau2019 | Folder | Table | Synthetic, Field(discriminator="kind")]


class Corpus(Section):
    """Where the audio is."""

    events: EventCorpus | None = None
    scenes: SceneCorpus | None = None
    clips: Clips | None = None


class Mixing(Section):
    """The mixing protocol (paper, section IV-A, and the recipe it inherits)."""

    sample_rate: int = Field(default=32_000, ge=4_000, le=384_000)
    duration_s: float = Field(default=10.0, gt=0, le=3_600)
    snrs_db: tuple[Annotated[float, Field(ge=-100, le=100)], ...] = Field(
        default=(0, 10, 20), min_length=1
    )
    folds: int = Field(default=4, ge=2, le=255)
    mixtures_per_fold: int = Field(default=2_000, ge=1)
    events_per_mixture: int = Field(default=3, ge=1)
    event_s: float = Field(default=2.0, gt=0)
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
    def fixed_onsets_s(self) -> tuple[float, ...]:
        """The fixed onsets; by default 0.5 s of scene before each event: 0.5, 3.0, 5.5 s."""
        if isinstance(self.onsets, tuple):
            return self.onsets
        return tuple(0.5 + k * (self.event_s + 0.5) for k in range(self.events_per_mixture))

    @field_validator("snrs_db")
    @classmethod
    def _name_each_snr_once(cls, snrs_db: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(snrs_db)) < len(snrs_db):
            raise PydanticCustomError("snrs", "should name each SNR once")
        return snrs_db

    @model_validator(mode="after")
    def _fit_the_events(self) -> Self:
        if self.onsets == "random":
            n_in_a_row = 1 if self.overlap else self.events_per_mixture
            if n_in_a_row * self.event_s > self.duration_s:
                raise _misfit(f"{n_in_a_row} events of {self.event_s:g} s", self.duration_s)
            return self
        onsets_s = sorted(self.fixed_onsets_s)
        if len(onsets_s) != self.events_per_mixture:
            text = f"onsets: should be {self.events_per_mixture} (events_per_mixture) onsets"
            raise PydanticCustomError("onsets", "{text}", {"text": text})
        if onsets_s[-1] + self.event_s > self.duration_s:
            raise _misfit(f"an event of {self.event_s:g} s at {onsets_s[-1]:g} s", self.duration_s)
        if not self.overlap and any(b - a < self.event_s for a, b in pairwise(onsets_s)):
            text = f"onsets: should be {self.event_s:g} s (event_s) apart, unless overlap is true"
            raise PydanticCustomError("onsets", "{text}", {"text": text})
        return self


class Features(Section):
    """The log-mel (paper, section IV-C; details as in the inherited recipe)."""

    window: int = Field(default=2_048, ge=16)
    hop: int = Field(default=1_024, ge=1)
    n_mels: int = Field(default=64, ge=2)
    f_min: float = Field(default=50.0, ge=0)
    f_max: float = Field(default=16_000.0, gt=0)

    @model_validator(mode="after")
    def _order_the_band(self) -> Self:
        if self.f_min >= self.f_max:
            raise PydanticCustomError("band", "f_min should be below f_max")
        return self


class Config(Section):
    """A whole `data.yaml`."""

    workdir: Path = Path("work")
    corpus: Corpus = Corpus()
    mixing: Mixing = Mixing()
    features: Features = Features()
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _match_features_to_clips(self) -> Self:
        nyquist = self.mixing.sample_rate / 2
        if self.features.f_max > nyquist:
            text = f"features.f_max: should be at most {nyquist:g} (half of mixing.sample_rate)"
            raise PydanticCustomError("f_max", "{text}", {"text": text})
        if self.features.window > self.mixing.n_samples:
            text = f"features.window: should be at most a clip's {self.mixing.n_samples} samples"
            raise PydanticCustomError("window", "{text}", {"text": text})
        return self

    def locate(self, path: Path) -> Path:
        """A path of `data.yaml` as this process can open it: relative to that file's folder."""
        return self._folder / path.expanduser()

    @property
    def work_dir(self) -> Path:
        """The folder that everything is written below."""
        return self.locate(self.workdir)

    def describe(self, *sections: str) -> str:
        """The named sections, resolved, as YAML: stored with what they made.

        Paths stay as they were written, so that the same `data.yaml` gives the same bytes in
        any folder.
        """
        data = self.model_dump(mode="json", include=set(sections))
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def load_config(path: Path) -> Config:
    """Read and validate a `data.yaml`.

    Args:
        path: The file; its folder is what relative paths in it are relative to.

    Raises:
        SedmtlError: The file is missing, is no YAML, or holds an unknown key or an impossible
            value; the sentence names the key's path and what is allowed.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SedmtlError(
            f"no {path.name} in {path.resolve().parent}: name one with --config, copy the one of "
            "the README, or let 'sedmtl demo' make a whole project"
        ) from None
    except OSError as error:
        raise SedmtlError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SedmtlError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if data is not None and not isinstance(data, dict):
        raise SedmtlError(f"{path} should hold keys such as 'corpus:', found {data!r:.60}")
    try:
        config = Config.model_validate(data or {})
    except ValidationError as error:
        raise SedmtlError(f"{path}: {_sentence(error)}") from error
    config._folder = path.parent
    return config


def _sentence(error: ValidationError) -> str:
    """The first problem as one sentence: the key's path, what is allowed, what was found."""
    problems = error.errors()
    first = problems[0]
    # A corpus is a union told apart by its kind, which pydantic writes into the path; the other
    # alternatives of a plain union (onsets) show up as further problems of the same key.
    kinds = {"fsdkaggle2018", "tau2019", "folder", "csv", "synthetic"}
    parts = [str(part) for i, part in enumerate(first["loc"]) if not (i == 2 and part in kinds)]
    key = ".".join(parts)
    message = first["msg"].replace("Input should be", "should be")
    if first["type"] == "literal_error" and "onsets" in key:
        key, message = "mixing.onsets", "should be 'fixed', 'random' or a list of onsets in seconds"
    if first["type"] == "missing":
        message = "is missing"
    found = "" if isinstance(first["input"], dict) or first["type"] == "missing" else first["input"]
    tail = f", found {found!r:.60}" if found != "" else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 and "onsets" not in key else ""
    return f"{key}: {message}{tail}{more}".removeprefix(": ")
