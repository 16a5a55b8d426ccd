"""A one-screen summary of predictions: by class, and by recording and class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from sedmtl.events import Detection
from sedmtl.inference.prediction import Prediction
from sedmtl.runtime.text import aligned, counted

MOST = 40
"""Maximum rows of a table."""

LONGEST = (34, 20)
"""Maximum characters of recording and class names: with the numbers, 80 columns."""

HEADS = ("events", "seconds", "score")


def summary(predictions: Sequence[Prediction]) -> list[str]:
    """Lines of at most 80 columns: number of events, their total length, and the highest score.

    Recordings without events and rows beyond `MOST` are only counted.
    """
    found = {each.filename: _by_class(each.events) for each in predictions if each.events}
    length = timedelta(seconds=round(sum(each.duration_s for each in predictions)))
    n_events = sum(len(each.events) for each in predictions)
    by_class = _by_class(event for each in predictions for event in each.events)
    lines = [
        f"{counted(n_events, 'event')} of {counted(len(by_class), 'class')} in {len(found):,} of "
        f"{len(predictions):,} recordings, {length} of audio"
    ]
    if len(found) > 1:
        lines += ["", *_class_table(by_class, found.values())]
    if found:
        lines += ["", *_recording_table(found)]
    return [*lines, *_tag_note(predictions)]


def _by_class(events: Iterable[Detection]) -> dict[str, list[Detection]]:
    """Events by class, classes with the most events first."""
    found = defaultdict[str, list[Detection]](list)
    for event in events:
        found[event.label].append(event)
    return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))


def _class_table(
    by_class: dict[str, list[Detection]], found: Iterable[dict[str, list[Detection]]]
) -> list[str]:
    n_recordings = defaultdict[str, int](int)
    for label in (label for classes in found for label in classes):
        n_recordings[label] += 1
    rows = [
        [_end(label, sum(LONGEST)), f"{n_recordings[label]:,}", *_numbers(events)]
        for label, events in by_class.items()
    ]
    n_more = len(rows) - MOST
    more = [f"and {counted(n_more, 'class')} with fewer events"] if n_more > 0 else []
    return [*aligned([("class", "recordings", *HEADS), *rows[:MOST]]), *more]


def _recording_table(found: dict[str, dict[str, list[Detection]]]) -> list[str]:
    rows = [
        ("" if i else _start(name, LONGEST[0]), _end(label, LONGEST[1]), *_numbers(events))
        for name, classes in found.items()
        for i, (label, events) in enumerate(classes.items())
    ]
    n_more = len(rows) - MOST
    more = [f"and {n_more:,} more rows: events.tsv lists every event"] if n_more > 0 else []
    return [*aligned([("recording", "class", *HEADS), *rows[:MOST]], n_left=2), *more]


def _numbers(events: Sequence[Detection]) -> tuple[str, str, str]:
    seconds = sum(event.offset_s - event.onset_s for event in events)
    return f"{len(events):,}", f"{seconds:,.1f}", f"{max(event.score for event in events):.2f}"


def _tag_note(predictions: Iterable[Prediction]) -> list[str]:
    """How tags, if requested, differ from the classes of events."""
    pairs = [
        ({label for label, _ in each.tags}, {event.label for event in each.events})
        for each in predictions
        if each.tags is not None
    ]
    alone = sum(len(tags - labels) for tags, labels in pairs)
    untagged = sum(len(labels - tags) for tags, labels in pairs)
    if not alone and not untagged:
        return []
    return [
        "",
        f"Tags without an event in their recording: {alone:,}; classes with events but without a",
        f"tag: {untagged:,}. Tags come from clip scores, events from frame scores.",
    ]


def _start(text: str, n_letters: int) -> str:
    """Truncate a path at the start, as its end is more informative."""
    return text if len(text) <= n_letters else f"…{text[1 - n_letters :]}"


def _end(text: str, n_letters: int) -> str:
    return text if len(text) <= n_letters else f"{text[: n_letters - 1]}…"
