"""Settings of the corpora in `data.yaml`, one class per kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sedmtl.config.section import AnyPath, Section, wrong


class FsdKaggle2018(Section):
    """Events: the training part of FSDKaggle2018 in its published layout."""

    kind: Literal["fsdkaggle2018"]
    root: AnyPath
    verified_only: bool = True


class Tau2019(Section):
    """Scenes: TAU Urban Acoustic Scenes 2019, development set, in its published layout."""

    kind: Literal["tau2019"]
    root: AnyPath


class Folder(Section):
    """Custom events or scenes: one sub-folder per class."""

    kind: Literal["folder"]
    root: AnyPath


class Table(Section):
    """Custom events or scenes: a CSV with the columns `file` and `label`."""

    kind: Literal["csv"]
    csv: AnyPath | None = None
    root: AnyPath | None = None

    @model_validator(mode="after")
    def _name_a_csv(self) -> Self:
        if self.csv is None and (self.root is None or self.root.suffix.lower() != ".csv"):
            raise wrong("needs a key 'csv' that names the CSV file")
        return self


class Synthetic(Section):
    """The built-in procedural corpus, written below `root` as WAV files when first needed."""

    kind: Literal["synthetic"]
    root: AnyPath = Path("synthetic")
    seed: int = Field(default=0, ge=0)
    clips_per_class: int = Field(default=24, ge=1, le=10_000)


class Clips(Section):
    """Custom weakly labelled recordings, used without mixing.

    The table has the columns `filename,labels[,fold][,recording]`. `strong` is a label file, or a
    folder of them, with the true events of some or all recordings, for evaluation or training.
    `negatives` is a folder below `root`: recordings in it that the table does not list have none
    of the classes.
    """

    csv: AnyPath
    root: AnyPath | None = None
    strong: AnyPath | None = None
    negatives: AnyPath | None = None


EventCorpus = Annotated[FsdKaggle2018 | Folder | Table | Synthetic, Field(discriminator="kind")]
SceneCorpus = Annotated[Tau2019 | Folder | Table | Synthetic, Field(discriminator="kind")]


class Corpus(Section):
    """The audio: events and scenes to mix, or clips."""

    events: EventCorpus | None = None
    scenes: SceneCorpus | None = None
    clips: Clips | None = None
