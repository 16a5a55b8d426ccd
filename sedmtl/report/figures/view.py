"""Content that figures and pages share: a network's view of a clip, its classes and scales."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from sedmtl.events import Detection, Event
from sedmtl.inference.inspection import Inspection
from sedmtl.inference.model_card import ModelCard
from sedmtl.models.settings import FrameMeaning

TICKS_HZ = (20_000, 10_000, 5_000, 2_000, 1_000, 500, 200, 100, 50)

AnyEvent = TypeVar("AnyEvent", Event, Detection)

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """One network's view of a clip, named after the run.

    Attributes:
        start_s: Start of the clip in its file.
        end_s: End of the clip, including padding.
        frame_meaning: Meaning of the network's frame scores.
        no_decoder: Why there is no reconstruction, if there is none.
        n_windows: Number of consecutive clips it covers.
        known: What the network was trained on besides weak labels.
    """

    name: str
    inspection: Inspection
    start_s: float
    end_s: float
    frame_meaning: FrameMeaning
    no_decoder: str = "this network has no decoder"
    n_windows: int = 1
    known: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, card: ModelCard, inspection: Inspection, start_s: float = 0.0) -> Self:
        """The view of a run's network, given its card."""
        view = cls(name, inspection, start_s, start_s + card.duration_s, card.network.frame_meaning)
        view = replace(view, known=tuple(card.training.get("known", ())))
        if not card.network.task_modules:
            return view
        return replace(view, no_decoder="its decoder was not trained (alpha 0)")

    @property
    def audio_end_s(self) -> float:
        """End of its audio, where padding begins."""
        return min(self.start_s + self.inspection.duration_s, self.end_s)

    @property
    def is_padded(self) -> bool:
        """Whether the clip extends beyond its audio."""
        return self.audio_end_s < self.end_s

    @property
    def times(self) -> str:
        """Start and end of its audio as text."""
        return f"{round(self.start_s, 3):g} to {round(self.audio_end_s, 3):g} s"

    @property
    def n_audio_frames(self) -> int:
        """Number of log-mel frames that begin within the audio; at least one."""
        begins_s = self.inspection.logmel_edges_s[:-1]
        return max(1, int(np.searchsorted(begins_s, self.audio_end_s)))

    @property
    def frame_title(self) -> str:
        """The title of frame scores."""
        match self.frame_meaning:
            case "evidence":
                return "classes over time"
            case "signed":
                return "first step's output (low may mean present)"
        return "first step's output (presence)"

    def within(self, events: Iterable[AnyEvent]) -> list[AnyEvent]:
        """The events that overlap the clip."""
        return [e for e in events if e.onset_s < self.end_s and e.offset_s > self.start_s]

    def rows(self, names: Sequence[str]) -> list[int]:
        """Row indices of classes in the inspection."""
        return [self.inspection.classes.index(name) for name in names]

    def of_classes(self, values: Values | None, names: Sequence[str]) -> Values | None:
        """Select the rows of classes, if there are values: (C, …) -> (n, …)."""
        return None if values is None else values[self.rows(names)]


class Scale(NamedTuple):
    """Mapping of values to colours: `low` is the first colour, `high` the last.

    Attributes:
        root: Whether colours follow the square root, because most attention weights are small.
    """

    low: float
    high: float
    root: bool = False


def choose_classes(
    views: Sequence[View], events: Iterable[Event | Detection] | None, max_classes: int
) -> list[str]:
    """Choose the most relevant classes: those of events, then those any network scores highest.

    Returns:
        Their names, in descending order of score.
    """
    names = views[0].inspection.classes
    score = np.max([view.inspection.clip[view.rows(names)] for view in views], axis=0)
    order = [names[i] for i in np.argsort(-score, kind="stable")]
    labels = {event.label for event in events or ()}
    chosen = {*sorted(order, key=lambda name: name not in labels)[:max_classes]}
    return [name for name in order if name in chosen]


def spectrum_scale(views: Sequence[View]) -> Scale:
    """Common scale of log-mels and reconstructions, so that they can be compared."""
    audible = [view.inspection.logmel[: view.n_audio_frames].ravel() for view in views]
    low, high = np.quantile(np.concatenate(audible), [0.005, 0.995])
    return Scale(float(low), float(max(high, low + 1e-3)))


def weight_scale(weights: Sequence[Values | None]) -> Scale:
    """Common scale of attention weights that are compared; missing ones are ignored."""
    known = [each for each in weights if each is not None]
    high = max((float(np.quantile(each, 0.9995)) for each in known), default=1.0)
    return Scale(0.0, high, root=True)


def score_scale(views: Sequence[View]) -> Scale:
    """Scale of frame scores: [0, 1], or wider for scores outside it."""
    lowest = min(float(view.inspection.frame.min()) for view in views)
    highest = max(float(view.inspection.frame.max()) for view in views)
    return Scale(min(0.0, lowest), max(1.0, highest))


class Tick(NamedTuple):
    """A labelled position on an axis, in the units of the axis."""

    place: float
    text: str


def round_ticks(low: float, high: float, max_steps: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from at or below `low` to at or above `high`."""
    locator = MaxNLocator(max_steps, steps=[1, 2, 5, 10])
    return [float(tick) for tick in locator.tick_values(low, high if high > low else low + 1)]


def mel_ticks(mel_hz: Values, min_share: float) -> list[Tick]:
    """Round frequencies as labels of a mel axis, on which 0 is the centre of the lowest bin.

    Args:
        mel_hz: (F,) centres, ascending.
        min_share: Minimum distance as a share of the axis; the higher of two close ticks is kept.
    """
    ticks: list[Tick] = []
    for hz in TICKS_HZ:
        place = float(np.interp(hz, mel_hz, np.arange(len(mel_hz))))
        is_near = ticks and ticks[-1].place - place < min_share * len(mel_hz)
        if mel_hz[0] <= hz <= mel_hz[-1] and not is_near:
            ticks.append(Tick(place, f"{hz:,}"))
    return ticks


def shorten(name: str, n_characters: int) -> str:
    """Shorten a long name in the middle, because names often share their start or end."""
    if len(name) <= n_characters:
        return name
    n_tail = (n_characters - 1) // 2
    return f"{name[: n_characters - 1 - n_tail]}…{name[-n_tail:]}"


def short_names(names: Iterable[str], n_characters: int) -> dict[str, str]:
    """A short form of each name; a common start is dropped if two forms would be equal."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(shorten(name, n_characters), []).append(name)
    short = {}
    for form, group in groups.items():
        same = takewhile(lambda letters: len(set(letters)) == 1, zip(*group, strict=False))
        n_shared = sum(1 for _ in same) if len(group) > 1 else 0
        for name in group:
            short[name] = shorten(f"…{name[n_shared:]}", n_characters) if n_shared else form
    return short
