"""`sedmtl review`: recordings -> a page with the snippets most worth reviewing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from sedmtl.config import Config
from sedmtl.data import audio
from sedmtl.data.clips import load_clips, place_of_clips
from sedmtl.inference.checkpoint import load_card
from sedmtl.inference.detector import Detector
from sedmtl.inference.identity import network_name
from sedmtl.inference.model_card import check_classes
from sedmtl.inference.predict import find_events
from sedmtl.inference.predict_options import PredictOptions
from sedmtl.inference.prediction import Prediction
from sedmtl.inference.runs import find_run
from sedmtl.inference.sources import Source, find_sources
from sedmtl.label_files import by_recording, read_detections
from sedmtl.review.choice import UNLABELLED, By, Pool, choose
from sedmtl.review.exhibit import Exhibit, exhibit
from sedmtl.review.page import Session, review_page
from sedmtl.review.pool import (
    check_same_classes,
    find_scored,
    held_out,
    listed,
    predicted,
    proposing,
)
from sedmtl.review.server import ReviewServer, Site
from sedmtl.review.verdicts import ReviewTable, Snippet, parse_line, read_reviews, standing
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.folders import is_file
from sedmtl.runtime.outputs import write_output
from sedmtl.runtime.progress import progress, say
from sedmtl.runtime.text import counted


@dataclass(frozen=True)
class ReviewOptions:
    """Options of the command.

    Attributes:
        run_names: Runs; the first proposes, all vote. By default the newest finished run, or for
            labelled recordings the newest of each held-out fold.
        by: Criterion of `choose`.
        n: Number of snippets; per class with `class`.
        classes: Classes to review; by default all.
        context_s: Seconds shown before and after each event.
        seed: Seed of random draws.
        reviewer: Name of the listener.
        labels: A file of events, or a folder of such files, to review instead of a run's events.
        n_workers: Recordings read in parallel.
    """

    run_names: Sequence[str]
    by: By
    n: int
    classes: Sequence[str]
    context_s: float
    seed: int
    reviewer: str
    labels: Path | None = None
    n_workers: int = 1


def prepare(
    config: Config, paths: Sequence[Path], table: ReviewTable, options: ReviewOptions
) -> Session:
    """Choose and cut snippets; without paths, from the recordings of `corpus.clips`.

    Raises:
        SedmtlError: There is no run or recording to choose from, or nothing is left to review.
    """
    find = _listed if options.labels else _predicted if paths else _labelled
    pool, files, runs = find(config, paths, options)
    of_runs = {label for run in runs.values() for label in load_card(run).classes}
    known = sorted(of_runs | {each.label for each in pool.snippets})
    classes = check_classes(options.classes, known)
    done = {review.snippet.key for review in standing(table.reviews)}
    rng = np.random.default_rng(options.seed)
    rows = choose(pool, options.by, options.n, rng, done=done, classes=classes)
    if not len(rows):
        n_done = sum(each.key in done for each in pool.snippets)
        raise SedmtlError(
            f"nothing is left to review: {n_done} of {len(pool.snippets)} snippets have a "
            "verdict; add recordings, or ask for other classes or another --by"
        )
    snippets = [pool.snippets[row]._replace(by=options.by) for row in rows]
    exhibits = list(_cut(snippets, files, runs, options.context_s, config.encoder_path))
    return Session(secrets.token_hex(8), options.by, exhibits, known, options.reviewer)


def write_page(config: Config, session: Session) -> Path:
    """Write the page to a file for use without a server."""
    path = config.work_dir / "review" / "page.html"
    write_output(path, review_page(session), force=None)
    return path


def open_server(session: Session, table: ReviewTable) -> ReviewServer:
    """Open a server for the page; verdicts are written to the table."""
    snippets = {each.snippet.key: each.snippet for each in session.exhibits}

    def take(lines: list[str]) -> None:
        reviews = [parse_line(line) for line in lines if line]
        for review in reviews:
            if review.snippet.key not in snippets:
                raise ValueError("this page does not ask about such a snippet")
        table.add(
            [
                replace(each, snippet=snippets[each.snippet.key], reviewer=session.reviewer)
                for each in reviews
            ]
        )

    return ReviewServer(Site(lambda: review_page(session, table.reviews), take))


def merge(table: ReviewTable, path: Path) -> int:
    """Add the lines of another table that this one lacks; returns their number.

    Raises:
        SedmtlError: The other table cannot be read.
    """
    return table.add(read_reviews(path))


Found = tuple[Pool, dict[str, Path], dict[str, Path]]
"""A pool, paths of recordings by name, and run folders by network name."""


def _labelled(config: Config, _: Sequence[Path], options: ReviewOptions) -> Found:
    clips = load_clips(config)
    files = dict(zip(clips.name, clips.paths, strict=True))
    runs_dir = config.work_dir / "runs"
    runs = find_scored(runs_dir, options.run_names)
    say(f"held-out scores of {', '.join(run.folder.name for run in runs)}")
    pool = held_out(runs)
    _report_unscored(pool, files)
    gone = {each.filename for each in pool.snippets} - set(files)
    if gone:
        n_gone = counted(len(gone), "recording")
        say(f"left out, no longer in corpus.clips: {n_gone}, such as {min(gone)}")
    # Current labels, which may have been corrected since the runs were trained.
    labels = {
        name: {clips.classes[i] for i in np.flatnonzero(row)}
        for name, row in zip(clips.name, clips.target, strict=True)
    }
    return (
        pool.without(gone).labelled(labels),
        files,
        {run.network: run.folder for run in runs},
    )


def _report_unscored(pool: Pool, files: Collection[str]) -> None:
    """Report how many labelled recordings are in no run's held-out fold."""
    n_unscored = len(set(files).difference(each.filename for each in pool.snippets))
    if n_unscored:
        say(
            f"left out, not in the held-out fold of any of these runs: {n_unscored} of "
            f"{len(files)} recordings; 'sedmtl train --fold all' trains what is missing"
        )


def _predicted(config: Config, paths: Sequence[Path], options: ReviewOptions) -> Found:
    if options.by == "suspicious":
        raise SedmtlError(UNLABELLED)
    sources, runs_dir = _sources(config, paths), config.work_dir / "runs"
    folders = [find_run(runs_dir, name) for name in options.run_names or (None,)]
    cards = [(network_name(run), load_card(run)) for run in folders]
    check_same_classes(cards)
    check_classes(options.classes, cards[0][1].classes)  # before hours of work
    journal = config.work_dir / "review" / "journal.jsonl"
    found, errors = [], dict[str, SedmtlError]()
    for run, (_, card) in zip(folders, cards, strict=True):
        say(f"run {run.name}")
        settings = proposing(card.postprocessing)
        how = PredictOptions(n_workers=options.n_workers, encoder=config.encoder_path)
        results = find_events(run, settings, sources, journal, how)
        by_name = {source.name: each for source, each in zip(sources, results, strict=True)}
        errors |= {name: each for name, each in by_name.items() if isinstance(each, SedmtlError)}
        found.append({name: each for name, each in by_name.items() if isinstance(each, Prediction)})
    if not found[0]:
        raise audio.as_one(list(errors.values()), len(sources))
    for error in errors.values():
        say(f"left out: {error}")
    files = {source.name: source.path for source in sources}
    names = (name for name, _ in cards)
    return predicted(cards, found), files, dict(zip(names, folders, strict=True))


def _listed(config: Config, paths: Sequence[Path], options: ReviewOptions) -> Found:
    assert options.labels is not None
    if options.by == "suspicious":
        raise SedmtlError(UNLABELLED)
    if paths:
        files = {source.name: source.path for source in _sources(config, paths)}
    else:
        clips = load_clips(config)
        files = dict(zip(clips.name, clips.paths, strict=True))
    run = find_run(config.work_dir / "runs", next(iter(options.run_names), None))
    found, others = by_recording(read_detections(options.labels), files, options.labels)
    if not found:
        raise SedmtlError(
            f"{options.labels} names none of the {len(files)} recordings: name the files or the "
            "folder that it is about"
        )
    if others:
        say(f"left out, not among the recordings: {len(others)} in {options.labels}")
    name = options.labels.name
    return listed(name, found), files, {name: run}


def _sources(config: Config, paths: Sequence[Path]) -> list[Source]:
    """Find the requested recordings, with unambiguous names.

    Recordings below the root of `corpus.clips` are named as in its table, by their path relative to
    the root. Others are named by their path relative to the folder of data.yaml, or by their
    absolute path if they are elsewhere or the relative path also exists below the root. A name thus
    always means the same recording.
    """
    here = _plain(config.locate(Path()))
    root = here if config.corpus.clips is None else _plain(place_of_clips(config)[2])

    def name_of(file: Path) -> str:
        if file.is_relative_to(root):
            return file.relative_to(root).as_posix()
        if file.is_relative_to(here) and not is_file(root / file.relative_to(here)):
            return file.relative_to(here).as_posix()
        return str(file)

    return [Source(name_of(_plain(path)), path) for _, path in find_sources(paths)]


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _cut(
    snippets: Sequence[Snippet],
    files: dict[str, Path],
    runs: dict[str, Path],
    context_s: float,
    encoder: Path | None,
) -> Iterator[Exhibit]:
    """Yield the exhibits of readable recordings.

    Raises:
        SedmtlError: None can be read.
    """
    load = cache(partial(Detector.load, encoder=encoder))
    errors = []
    with progress("cutting snippets", len(snippets)) as advance:
        for snippet in snippets:
            try:
                yield exhibit(snippet, files[snippet.filename], load(runs[snippet.run]), context_s)
            except SedmtlError as error:
                errors.append(error)
            advance(1)
    if len(errors) == len(snippets):
        raise errors[0]
    for message in dict.fromkeys(map(str, errors)):
        say(f"left out: {message}")
