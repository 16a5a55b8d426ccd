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

PAPER_F_MAX = 16_000.0
"""Upper edge of the mel filters in Hz: half of the paper's sample rate."""

ROUNDING_S = 1e-9
"""Events may touch: sums of decimal seconds, 0.1 + 0.2, miss each other by less than this."""


def _wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError("wrong", "{text}", {"text": text})


class Section(BaseModel):
    """A part of `data.yaml`: immutable, and every key must be known."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, value: Any) -> Any:
        if value is None:  # a section whose keys are all commented out
            return {}
        for key in value if isinstance(value, dict) else ():
            if key not in cls.model_fields:
                raise _wrong(f"'{key}' is no key; {suggest(str(key), cls.model_fields)}")
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
            raise _wrong("needs a key 'csv' that names the CSV file")
        return self


class Synthetic(Section):
    """The built-in procedural corpus, written below `root` as WAV files when first needed."""

    kind: Literal["synthetic"]
    root: Path = Path("synthetic")
    seed: int = Field(default=0, ge=0)
    clips_per_class: int = Field(default=24, ge=1)


class Clips(Section):
    """Weakly labelled recordings of one's own: `filename,labels[,fold]`, no mixing needed.

    `strong` is a TSV of the true events of some or all of them, to evaluate with.
    """

    csv: Path
    root: Path | None = None
    strong: Path | None = None


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
        default=(0.0, 10.0, 20.0), min_length=1
    )
    folds: int = Field(default=4, ge=2, le=255)
    mixtures_per_fold: int = Field(default=2_000, ge=1)
    events_per_mixture: int = Field(default=3, ge=1)
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
    def fixed_onsets_s(self) -> tuple[float, ...]:
        """The fixed onsets; by default 0.5 s of scene before each event: 0.5, 3.0, 5.5 s."""
        if isinstance(self.onsets, tuple):
            return self.onsets
        return tuple(0.5 + k * (self.event_s + 0.5) for k in range(self.events_per_mixture))

    @field_validator("snrs_db")
    @classmethod
    def _name_each_snr_once(cls, snrs_db: tuple[float, ...]) -> tuple[float, ...]:
        # As stores are named: SNRs that print alike would share one. Adding 0 turns -0 into 0.
        if len({f"{snr_db + 0:g}" for snr_db in snrs_db}) < len(snrs_db):
            raise _wrong("should name each SNR once")
        return snrs_db

    def find_misfit(self) -> str | None:
        """Why the events cannot be placed as asked; None if they can.

        Not a validator: it matters only to a project that mixes.
        """
        n_events, event_s = self.events_per_mixture, self.event_s
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


class Features(Section):
    """The log-mel (paper, section IV-C; details as in the inherited recipe)."""

    window: int = Field(default=2_048, ge=16)
    hop: int = Field(default=1_024, ge=1)
    n_mels: int = Field(default=64, ge=2)
    f_min: float = Field(default=50.0, ge=0)
    f_max: float = Field(default=PAPER_F_MAX, gt=0)

    @model_validator(mode="after")
    def _order_the_band(self) -> Self:
        if self.f_min >= self.f_max:
            raise _wrong(f"f_min should be below f_max, found {self.f_min:g} and {self.f_max:g}")
        return self


class Config(Section):
    """A whole `data.yaml`."""

    workdir: Path = Path("work")
    corpus: Corpus = Corpus()
    mixing: Mixing = Mixing()
    features: Features = Features()
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="before")
    @classmethod
    def _end_the_band_at_half_the_rate(cls, value: Any) -> Any:
        """The paper's upper edge, where nobody gave one, is not for lower sample rates."""
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
            raise _wrong(f"mixing: {misfit}")
        return self

    @model_validator(mode="after")
    def _match_features_to_clips(self) -> Self:
        nyquist = self.mixing.sample_rate / 2
        if self.features.f_max > nyquist:
            raise _wrong(
                f"features.f_max: should be at most {nyquist:g} (half of mixing.sample_rate), "
                f"found {self.features.f_max:g}"
            )
        if self.features.window > self.mixing.n_samples:
            raise _wrong(
                f"features.window: should be at most a clip's {self.mixing.n_samples} samples, "
                f"found {self.features.window}"
            )
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
        SedmtlError: The file is missing, is no YAML, or holds an unknown key, a key twice or an
            impossible value; the sentence names the key's path and what is allowed.
    """
    try:
        with path.open(encoding="utf-8") as file:
            data = yaml.load(file, _Loader)
    except FileNotFoundError:
        raise SedmtlError(
            f"no {path.name} in {path.resolve().parent}: name one with --config, copy the one of "
            "the README, or let 'sedmtl demo' make a whole project"
        ) from None
    except OSError as error:
        raise SedmtlError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or no such date
        raise SedmtlError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if data is not None and not isinstance(data, dict):
        raise SedmtlError(f"{path} should hold keys such as 'corpus:', found {data!r:.60}")
    try:
        config = Config.model_validate(data or {})
    except ValidationError as error:
        raise SedmtlError(f"{path}: {_sentence(error)}") from error
    config._folder = path.parent
    return config


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once: PyYAML would quietly take the last of several."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"found the key '{key.value}' twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


# What pydantic calls things, in the words of YAML; `{}` stands for a part of its context.
WORDS = {
    "missing": "is missing",
    "model_type": "should hold keys and values",
    "model_attributes_type": "should hold keys and values",
    "path_type": "should be a path",
    "too_short": "should list at least {min_length}",
    "tuple_type": "should be a list",
    "union_tag_invalid": "should be one of {expected_tags}",
    "union_tag_not_found": "is missing",
}


def _sentence(error: ValidationError) -> str:
    """The first problem as one sentence: the key's path, what is allowed, what was found."""
    problems = error.errors()
    first = problems[0]
    # A corpus is a union told apart by its kind, which pydantic writes into the path; the other
    # alternatives of a plain union (onsets) show up as further problems of the same key.
    in_union = first["loc"][:2] in (("corpus", "events"), ("corpus", "scenes"))
    parts = [str(part) for i, part in enumerate(first["loc"]) if not (in_union and i == 2)]
    context = first.get("ctx", {})
    message = first["msg"].replace("Input should be", "should be")
    if first["type"] in WORDS:
        message = WORDS[first["type"]].format_map(context)
    found = first["input"]
    if first["type"].startswith("union_tag"):
        parts, found = [*parts, "kind"], context.get("tag", found)
    key = ".".join(parts)
    if first["type"] == "literal_error" and "onsets" in key:
        key, message = "mixing.onsets", "should be 'fixed', 'random' or a list of onsets in seconds"
    tail = "" if isinstance(found, dict) else f", found {found!r:.60}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 and "onsets" not in key else ""
    return f"{key}: {message}{tail}{more}".removeprefix(": ")
