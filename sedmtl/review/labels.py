"""Derives corrected labels of recordings from verdicts on snippets.

* `yes`, or `other` with another class: the recording has that class.
* `no` or `other` on a whole recording: it does not have the class in question.
* `no` or `other` on an event only means that the class is absent there. The label is removed once
  all proposals of the class by one network in that recording have been rejected.
* `unsure` and proposals without a verdict carry no information.

If verdicts contradict each other, the later one holds. An unlabelled recording gets labels once all
proposals of one network in it have been judged; classes that this network did not propose count as
absent. Its events then become strong labels as well, if every label has at least one, since metrics
treat a recording with strong labels as completely annotated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sedmtl.events import Event
from sedmtl.review.verdicts import Review

Labels = Mapping[str, Sequence[str]]


class Change(NamedTuple):
    """A label added to or removed from a recording."""

    filename: str
    label: str
    is_added: bool


@dataclass(frozen=True)
class Corrected:
    """Labels after applying the verdicts.

    Attributes:
        labels: Labels of each recording, new recordings last.
        changes: Labels added or removed.
        events: All events of each recording for which they are completely known.
        n_partly_heard: Number of unlabelled recordings that get no labels, as some proposals have
            no verdict or are unsure.
    """

    labels: dict[str, list[str]]
    changes: list[Change]
    events: dict[str, list[Event]]
    n_partly_heard: int


def correct(labels: Labels, reviews: Sequence[Review]) -> Corrected:
    """Correct weak labels.

    Args:
        labels: Labels of each recording, by name.
        reviews: Standing verdicts in chronological order, with the same names.
    """
    by_file: dict[str, list[Review]] = defaultdict(list)
    for review in reviews:
        by_file[review.snippet.filename].append(review)
    after = {name: list(each) for name, each in labels.items()}
    changes, events, n_partly_heard = [], {}, 0
    for name, heard in by_file.items():
        is_complete = _is_complete(heard)
        if name not in labels and not is_complete:
            n_partly_heard += 1
            continue
        before, verdict = labels.get(name, ()), _presence(heard)
        kept = [label for label in before if verdict.get(label, True)]
        added = sorted(label for label, is_there in verdict.items() if is_there)
        after[name] = kept + [label for label in added if label not in before]
        changes += [Change(name, label, False) for label in before if label not in kept]
        changes += [Change(name, label, True) for label in after[name] if label not in before]
        found = _events(heard, after[name])
        if is_complete and {event.label for event in found} == set(after[name]):
            events[name] = found
    return Corrected(after, changes, events, n_partly_heard)


def _presence(heard: Sequence[Review]) -> dict[str, bool]:
    """Presence of the classes that the verdicts on one recording decide."""
    decided: dict[str, tuple[int, bool]] = {}
    refused: dict[tuple[str, str], int] = defaultdict(int)
    for number, review in enumerate(heard):
        snippet = review.snippet
        if review.heard_label:
            decided[review.heard_label] = number, True
        if review.verdict in ("no", "other"):
            refused[snippet.run, snippet.label] += 1
            is_whole = snippet.onset_s is None
            if is_whole or refused[snippet.run, snippet.label] >= snippet.of_class:
                decided[snippet.label] = number, False
    return {label: is_there for label, (_, is_there) in decided.items()}


def _is_complete(heard: Iterable[Review]) -> bool:
    """Whether all proposals of some network in a recording have been judged."""
    judged: dict[str, int] = defaultdict(int)
    for review in heard:
        snippet = review.snippet
        judged[snippet.run] += snippet.onset_s is not None and review.verdict != "unsure"
        if judged[snippet.run] >= snippet.of_recording and snippet.onset_s is not None:
            return True
    return False


def _events(heard: Iterable[Review], labels: Collection[str]) -> list[Event]:
    """Confirmed events of these labels, sorted by onset."""
    found = {
        Event(each.heard_label, each.heard_onset_s, each.heard_offset_s)
        for each in heard
        if each.heard_label in labels
        and each.heard_onset_s is not None
        and each.heard_offset_s is not None
    }
    return sorted(found, key=lambda event: (event.onset_s, event.label))
