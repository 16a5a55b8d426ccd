"""`sedmtl visualize`: an audio file -> a picture or page of what a network attends to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sedmtl.config import Config
from sedmtl.data import audio
from sedmtl.events import Event
from sedmtl.inference.checkpoint import HeadVersionError, check_encoder_is_used
from sedmtl.inference.detector import Detector
from sedmtl.inference.inspection import Inspection, joined
from sedmtl.inference.model_card import check_classes
from sedmtl.inference.runs import find_run
from sedmtl.inference.sources import free_path, outputs_of
from sedmtl.label_files import labels_of_file
from sedmtl.report import figures as plots
from sedmtl.report.clip_page import Clip, clip_page
from sedmtl.report.figures.view import View, choose_classes
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import check_output, write_output
from sedmtl.runtime.progress import say
from sedmtl.runtime.text import printable
from sedmtl.store import Store, store_of_wav

Truth = Sequence[Event] | None

ENDINGS = (".png", ".html")
"""Extensions of the picture and the page."""

LONGEST_S = 300.0
"""Longest part of a recording on a page, which then takes about 10 MB."""

TOLERANCE_S = 0.1
"""How far labels may end after their recording: people round times."""


def visualize(
    config: Config,
    audio_path: Path,
    *,
    run_name: str | None = None,
    compare_name: str | None = None,
    start_s: float = 0.0,
    classes: Sequence[str] = (),
    labels_path: Path | None = None,
    as_page: bool = False,
    out_path: Path | None = None,
    force: bool | None = None,
) -> tuple[Path, Path, Inspection]:
    """Show one clip of a file or, as a page, the whole file up to `LONGEST_S`.

    Args:
        config: The project.
        audio_path: Any audio file.
        run_name: By default the newest finished run.
        compare_name: Another run, drawn next to the first.
        start_s: Start of the clip in the file.
        classes: Classes to show, optionally separated by commas; by default the most relevant.
        labels_path: A label file or a folder of them; by default the labels of the mixture, if
            the file is one.
        as_page: Whether to write the interactive page instead of the picture.
        out_path: By default a `.png` or `.html` below `work/figures`, named by
            `sources.free_path`; the extension `.html` selects the page.
        force: Whether to overwrite the file even if it is the user's.

    Returns:
        The picture or page, the run it was made with, and the inspection.

    Raises:
        SedmtlError: There is no such run or class, or a file cannot be read or written.
    """
    is_page = _is_page(out_path, as_page)
    if out_path is not None:
        out_path = out_path if out_path.suffix else _with_ending(out_path, is_page)
        check_output(out_path, force=force)
    audio.probe(audio_path)  # report a bad audio file before any problem with runs
    names = [run_name] if compare_name is None else [run_name, compare_name]
    runs = [find_run(config.work_dir / "runs", name) for name in names]
    detectors = _load_all(runs, config)
    if len(detectors) > 1:
        _check_comparable(detectors, is_page)
    asked = check_classes(classes, detectors[0].classes)
    views = [
        _view(run.name, each, audio_path, start_s, is_page)
        for run, each in zip(runs, detectors, strict=True)
    ]
    truth = _truth(config, audio_path, labels_path, views[0])
    if is_page:
        content = clip_page(_clip(detectors[0], views[0], audio_path, truth), asked).encode()
    else:
        named = out_path or _with_ending(audio_path, is_page)
        content = _draw(named, views, printable(audio_path.name), asked, truth)
    if out_path is not None:
        write_output(out_path, content, force=force)
    path = out_path or _write(config, audio_path, content, is_page)
    return path, runs[0], views[0].inspection


def _load_all(runs: Sequence[Path], config: Config) -> list[Detector]:
    """Load the networks that are drawn; a file named as their encoder must be of use to one."""
    detectors = [_load(run, config.encoder_path) for run in runs]
    cards = {run.name: each.card for run, each in zip(runs, detectors, strict=True)}
    check_encoder_is_used(cards, config.given_encoder)
    return detectors


def _load(run: Path, encoder: Path | None) -> Detector:
    """Load a run with its task heads, if they are from this version."""
    try:
        return Detector.load(run, with_heads=True, encoder=encoder)
    except HeadVersionError as error:
        say(f"the tasks of {run.name} are not drawn: {error}")
        return Detector.load(run, encoder=encoder)


def _with_ending(path: Path, is_page: bool) -> Path:
    return path.with_name(f"{path.name}{ENDINGS[is_page]}")


def _write(config: Config, audio_path: Path, content: bytes, is_page: bool) -> Path:
    """Write the picture or page under a free name; return its path."""
    outputs = outputs_of(audio_path, config.work_dir / "figures")
    with outputs.alone():
        stem = free_path(
            outputs,
            config.work_dir,
            audio_path,
            lambda stem: (_with_ending(stem, is_page) for is_page in (False, True)),
        )
        path = _with_ending(stem, is_page)
        outputs.write(path, content)
    return path


def _is_page(out_path: Path | None, as_page: bool) -> bool:
    """Whether a page is requested, by the option or by the file's extension."""
    if out_path is None or not out_path.suffix:
        return as_page
    has_ending = out_path.suffix.lower() == ".html"
    if as_page and not has_ending:
        raise SedmtlError(f"expected the file of the page to end in .html, found {out_path}")
    return has_ending


def _check_comparable(detectors: Sequence[Detector], is_page: bool) -> None:
    if is_page:
        raise SedmtlError("a page shows one network: to compare two in a picture, omit --html")
    first, second = (set(detector.classes) for detector in detectors)
    if first != second:
        raise SedmtlError(
            f"expected two runs of the same classes, found {len(first)} and {len(second)}, of "
            f"which {len(first & second)} are in both"
        )


def _count_windows(detector: Detector, audio_path: Path, start_s: float) -> int:
    """Number of consecutive clips that a page shows of a recording."""
    left_s = min(audio.probe(audio_path).duration_s - start_s, LONGEST_S)
    return 1 + max(0, math.ceil((left_s - detector.duration_s) / _step_s(detector)))


def _step_s(detector: Detector) -> float:
    """Time from one clip to the next, chosen so that all frame scores lie on one grid."""
    return detector.card.grid.n_frames * detector.card.grid.hop_s


def _view(name: str, detector: Detector, audio_path: Path, start_s: float, is_page: bool) -> View:
    """A network's view of a clip or, on a page, of all clips of a recording."""
    n_windows = _count_windows(detector, audio_path, start_s) if is_page else 1
    starts_s = [start_s + i * _step_s(detector) for i in range(n_windows)]
    parts = [detector.inspect(audio_path, start_s=each_s) for each_s in starts_s]
    view = View.of(name, detector.card, joined(parts), start_s)
    return replace(view, end_s=starts_s[-1] + detector.duration_s, n_windows=n_windows)


def _clip(detector: Detector, view: View, audio_path: Path, truth: Truth) -> Clip:
    """The clip with its audio, and the events detected in it with the run's post-processing."""
    rate, start_s = detector.card.sample_rate, view.start_s
    duration_s = view.end_s - start_s
    waveform = audio.read(audio_path, rate, start_s=start_s, duration_s=duration_s)
    detected = [
        event._replace(onset_s=start_s + event.onset_s, offset_s=start_s + event.offset_s)
        for event in detector.predict(waveform, rate).events
    ]
    recording_s = audio.probe(audio_path).duration_s
    return Clip(printable(audio_path.name), view, waveform, rate, detected, truth, recording_s)


def _draw(
    path: Path, views: Sequence[View], name: str, asked: Sequence[str], truth: Truth
) -> bytes:
    shown = asked or choose_classes(views, truth, plots.MAX_CLASSES)
    n_classes = len(views[0].inspection.classes)
    title = f"{name}, {views[0].times}"
    if len(shown) < n_classes:
        title = f"{title}; {len(shown)} of {n_classes} classes"
    return plots.encode_for(plots.figure_3(views, title, shown, truth), path)


def _labels(labels_path: Path, audio_path: Path) -> Sequence[Event]:
    """Read the events of a label file; warn if they seem to belong to another recording."""
    events = labels_of_file(labels_path, audio_path)
    duration_s = audio.probe(audio_path).duration_s
    end_s = max((event.offset_s for event in events), default=0)
    if end_s > duration_s + TOLERANCE_S:
        say(
            f"warning: {labels_path} has events up to {end_s:.2f} s, and {audio_path} ends at "
            f"{duration_s:.2f} s: do they belong to another recording?"
        )
    return events


def _truth(config: Config, audio_path: Path, labels_path: Path | None, view: View) -> Truth:
    """True events of the clip, if they are known."""
    if labels_path is not None:
        return view.within(_labels(labels_path, audio_path))
    store_path = store_of_wav(config.work_dir, audio_path)
    if store_path is None:
        return None
    with Store(store_path, "waveform") as store:
        names = list(store.clips.name)
        if audio_path.name not in names:
            return None
        row = names.index(audio_path.name)
        return view.within(store.clips.events.of_clip(row, store.classes))
