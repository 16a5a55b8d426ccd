"""`sedmtl relabel`: verdicts -> corrected tables next to the old ones, and class thresholds."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sedmtl.classes import class_name
from sedmtl.config import Config
from sedmtl.data.clips import place_of_clips
from sedmtl.data.folds import labels_of_rows
from sedmtl.events import Event, strong_label_text
from sedmtl.inference.identity import run_of
from sedmtl.label_files import by_recording, path_parts, read_strong_labels
from sedmtl.review.labels import Corrected, correct
from sedmtl.review.precision import MIN_HEARD, Estimate, refit_classes
from sedmtl.review.verdicts import Review, read_reviews, standing
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.folders import is_file
from sedmtl.runtime.outputs import Outputs, check_output, write_output
from sedmtl.runtime.progress import say
from sedmtl.runtime.tables import read_table
from sedmtl.runtime.text import counted

THRESHOLD_COLUMNS = ("event_label", "threshold", "precision", "low", "high", "heard", "run")

Row = Mapping[str, str]


@dataclass(frozen=True)
class Relabelled:
    """The outcome of verdicts, before anything is written.

    Attributes:
        lines: Lines for the user: changed labels and thresholds.
        texts: Contents of new files, by path.
        outdated: Threshold files that the verdicts no longer support.
    """

    lines: Sequence[str]
    texts: Mapping[Path, str]
    outdated: Sequence[Path] = ()

    def write(self, *, force: bool | None) -> list[Path]:
        """Write the files, or none if one of them is the user's; returns their paths.

        Raises:
            SedmtlError: A file is the user's or cannot be written.
        """
        for path in self.texts:
            check_output(path, force=force)
        for path, text in self.texts.items():
            write_output(path, text, force=force)
        for path in self.outdated:
            if path.exists():
                Outputs(path.parent).remove(path)
                say(f"removed {path}: verdicts no longer decide any threshold")
        return list(self.texts)


def relabel(config: Config, table: Path, *, min_precision: float | None = None) -> Relabelled:
    """Compute corrected labels and thresholds from a table of verdicts.

    Args:
        config: The project; its `corpus.clips`, if any, are corrected.
        table: The verdicts.
        min_precision: Give each class the lowest threshold at which the lower end of the precision
            interval reaches this; None for the threshold of its best F1.

    Raises:
        SedmtlError: A table cannot be read.
    """
    reviews = standing(read_reviews(table))
    lines = [f"{table}: verdicts on {counted(len(reviews), 'snippet')}"]
    texts, outdated = dict[Path, str](), list[Path]()
    if config.corpus.clips is not None:
        found, texts = _correct_tables(config, reviews)
        lines += found
    about_events = [each for each in reviews if each.snippet.onset_s is not None]
    for run, network in _networks(about_events).items():
        named = [each.snippet.run for each in about_events if run_of(each.snippet.run) == run]
        others = Counter(
            "unnamed" if name == run else "before" for name in named if name != network
        )
        classes = refit_classes(about_events, network, min_precision)
        lines += _threshold_lines(network, classes, others, min_precision)
        estimates = {label: each for label, (each, _) in classes.items() if each is not None}
        path = table.with_name(f"thresholds_{PurePosixPath(run).name}.tsv")
        if estimates:
            texts[path] = threshold_text(network, estimates)
        else:
            outdated.append(path)
    return Relabelled(lines, texts, outdated)


def _networks(reviews: Sequence[Review]) -> dict[str, str]:
    """The network of each run; for a retrained run, the one reviewed last.

    Tables of earlier versions have only the run's name, used if no verdict names a network.
    """
    names = [each.snippet.run for each in reviews]
    networks = {run_of(name): name for name in names}
    return networks | {run_of(name): name for name in names if run_of(name) != name}


def threshold_text(network: str, estimates: Mapping[str, Estimate]) -> str:
    """Class thresholds as TSV for `predict --thresholds`."""
    rows = [
        (label, f"{each.threshold:.4f}", f"{each.precision:.3f}", f"{each.low:.3f}",
         f"{each.high:.3f}", str(each.n_heard), network)
        for label, each in estimates.items()
    ]  # fmt: skip
    return _text([THRESHOLD_COLUMNS, *rows], "\t")


def read_thresholds(path: Path) -> tuple[list[tuple[str, float]], str]:
    """Read the class thresholds of a table from `relabel`, and the network they are for.

    The network is empty for tables of earlier versions.

    Raises:
        SedmtlError: The table cannot be read, or has an invalid threshold.
    """
    found, network = [], ""
    for row in read_table(path, THRESHOLD_COLUMNS[:2], "\t", unique="event_label"):
        network = row.get("run", "")
        try:
            threshold = float(row["threshold"])
        except ValueError:
            threshold = math.nan
        if not 0 <= threshold <= 1:
            raise SedmtlError(
                f"{path}: expected a threshold from 0 to 1, found '{row['threshold']}' for "
                f"{row['event_label']}"
            )
        found.append((class_name(row["event_label"]), threshold))
    return found, network


def in_words(estimate: Estimate) -> str:
    """Format an estimate: `0.62: 94 % of events are right, 88–97, by 120 verdicts`."""
    percent = [round(100 * each) for each in (estimate.precision, estimate.low, estimate.high)]
    return (
        f"{estimate.threshold:.2f}: {percent[0]} % of events are right, "
        f"{percent[1]}–{percent[2]}, by {counted(estimate.n_heard, 'verdict')}"
    )


def _correct_tables(config: Config, reviews: Sequence[Review]) -> tuple[list[str], dict[Path, str]]:
    """The changes as lines, and the new `corpus.clips.csv` and `strong` files by path."""
    settings, table, root = place_of_clips(config)
    rows = read_table(table, ("filename", "labels"), unique="filename")
    names = [row["filename"] for row in rows]
    ours, n_elsewhere = _of_table(reviews, names, table, root, config.locate(Path()))
    corrected = correct(dict(zip(names, labels_of_rows(rows)[0], strict=True)), ours)
    lines = [
        f"{'+' if change.is_added else '-'} {change.label}\t{change.filename}"
        for change in corrected.changes
    ]
    n_new, n_added = (
        len(corrected.labels) - len(rows),
        sum(change.is_added for change in corrected.changes),
    )
    counts = {
        ("label", "added"): n_added,
        ("label", "removed"): len(corrected.changes) - n_added,
        ("recording", "added"): n_new,
        ("recording", "not added: no verdict on some proposals"): corrected.n_partly_heard,
        ("recording", f"not added: not below {root}"): n_elsewhere,
    }
    numbers = [
        f"{counted(number, noun)} {what}" for (noun, what), number in counts.items() if number
    ]
    lines.append(f"{table}: {', '.join(numbers) or 'no change'}")
    if n_new and any(row.get("fold") for row in rows):
        say(f"the added recordings have no fold: 'sedmtl folds {_next_path(table)}' gives them one")
    texts = {}
    if corrected.changes or n_new:
        texts[_next_path(table)] = _clips_text(rows, corrected)
    strong = config.locate(settings.strong) if settings.strong else None
    events = _strong_labels(strong, corrected)
    if events:
        path = _next_path((strong or table.with_name("strong")).with_suffix(".tsv"))
        texts[path] = strong_label_text(events)
        lines.append(f"verified events of {counted(len(corrected.events), 'recording')}")
    return lines, texts


def _of_table(
    reviews: Iterable[Review], names: Sequence[str], table: Path, root: Path, here: Path
) -> tuple[list[Review], int]:
    """The verdicts on recordings in the table or below its root, under the table's names.

    Also returns the number of other recordings. Names that are existing paths relative to the
    folder of data.yaml, or absolute ones, are not matched with names in the table.

    Raises:
        SedmtlError: The name of a recording matches several in the table.
    """
    by_name: dict[str, list[Review]] = defaultdict(list)
    for review in reviews:
        by_name[review.snippet.filename].append(review)
    known = set(map(path_parts, names))
    # Handle these first: of siteA/1.wav and siteB/1.wav, only one may be in the table.
    added = [name for name in by_name if path_parts(name) not in known and _is_below(root, name)]
    found = {name: by_name.pop(name) for name in added}
    others = [name for name in by_name if path_parts(name) not in known and is_file(here / name)]
    for name in others:
        del by_name[name]
    of_table, unknown = by_recording(by_name, names, table)
    found |= of_table
    ours = [
        replace(review, snippet=review.snippet._replace(filename=name))
        for name, heard in found.items()
        for review in heard
    ]
    return ours, len(others) + len(unknown)


def _is_below(root: Path, name: str) -> bool:
    way = Path(name)
    return not way.is_absolute() and ".." not in way.parts and is_file(root / way)


def _clips_text(rows: Sequence[Row], corrected: Corrected) -> str:
    """The table with corrected labels; other columns are empty for new recordings."""
    by_name = {row["filename"]: row for row in rows}
    columns = list(rows[0])
    table = [
        [{**by_name.get(name, {}), "filename": name, "labels": ";".join(labels)}.get(each, "")
         for each in columns]
        for name, labels in corrected.labels.items()
    ]  # fmt: skip
    return _text([columns, *table], ",")


def _strong_labels(strong: Path | None, corrected: Corrected) -> dict[str, list[Event]]:
    """The previous strong labels, without those of removed labels, plus the verified events.

    If a recording had events of a class, these are kept, as a network may have proposed only some.
    """
    known = by_recording(read_strong_labels(strong), corrected.labels, strong)[0] if strong else {}
    events = dict(corrected.events)
    for name, each in known.items():
        labels = corrected.labels[name]
        kept = [event for event in each if event.label in labels]
        before = {event.label for event in kept}
        events[name] = kept + [new for new in events.get(name, ()) if new.label not in before]
    return {name: each for name, each in events.items() if each}


def _threshold_lines(
    network: str,
    classes: Mapping[str, tuple[Estimate | None, int]],
    others: Mapping[str, int],
    min_precision: float | None,
) -> list[str]:
    run = run_of(network)
    lines = [f"thresholds of {network}:"] if classes or others else []
    reasons = {
        "before": f"on events that {run} proposed before it was retrained, with other scores",
        "unnamed": f"from an earlier version, which did not record which network called {run} "
        "proposed the events",
    }
    lines += [
        f"  not counted here: {counted(others[why], 'verdict')} {reason}"
        for why, reason in reasons.items()
        if why in others
    ]
    for label, (found, n_heard) in classes.items():
        if found is not None:
            lines.append(f"  {label} {in_words(found)}")
        elif n_heard < MIN_HEARD:
            lines.append(
                f"  {label} stays: {n_heard} of its events heard, expected {MIN_HEARD} or more"
            )
        elif min_precision is not None:
            lines.append(
                f"  {label} stays: with {n_heard} of its events heard, no threshold is sure to "
                f"reach {min_precision:g}"
            )
        else:
            lines.append(f"  {label} stays: none of its {n_heard} events heard is right")
    return lines


def _next_path(path: Path) -> Path:
    """The next path: `clips.csv` -> `clips_reviewed.csv` -> `clips_reviewed2.csv`."""
    stem, mark, number = path.stem.partition("_reviewed")
    again = str(int(number or 1) + 1) if mark and (number or "1").isdecimal() else ""
    return path.with_name(f"{stem if again else path.stem}_reviewed{again}{path.suffix}")


def _text(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()
