"""The page: the variables of `templates/report.html`, and a list of what is left out."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from sedmtl.evaluation.rows import Row
from sedmtl.evaluation.tables import (
    Table,
    class_tables,
    localisation_tables,
    paper_tables,
    result_tables,
)
from sedmtl.metrics.confusion import Confusion
from sedmtl.metrics.psds import Psds
from sedmtl.report import figures as plots
from sedmtl.report.html import data_uri, render
from sedmtl.report.project import sound
from sedmtl.report.project.clips import Pick, Recording, choose, picture
from sedmtl.report.project.learning import FRAME, charts_of
from sedmtl.report.project.networks import Network, by_store, choose_detailed

MAX_SOUND_BYTES = 4_000_000
"""Limit for all embedded audio: the page stays below 8 MB."""

FULL_COLOUR = 0.5
"""An excess of at least this has the full colour: few confusions are more frequent."""

N_PAIRS = 10
SURE = 2.0
"""Minimum excess of the listed pairs, in standard errors."""

Curves = Mapping[str, tuple[Sequence[Psds], Sequence[Psds]]]
Fetch = Callable[[Network, Sequence[Pick]], Sequence[Recording]]


@dataclass(frozen=True)
class Report:
    """The content of the page.

    Attributes:
        title: Title of the page.
        rows: The results under both selections.
        networks: The networks chosen by validation, store by store.
        curves: By the title of a store, the score curves of its networks.
        unfinished: Names of unfinished runs.
        fetch: Reads the data of the picked clips of a network from the stores.
    """

    title: str
    rows: Sequence[Row]
    networks: Sequence[Network]
    curves: Mapping[str, Curves]
    unfinished: Sequence[str]
    fetch: Fetch


class Cell(NamedTuple):
    """A number in a coloured table: `share` of the full colour, from 0 to 100."""

    text: str
    share: int
    title: str = ""
    is_diagonal: bool = False


def report_page(report: Report) -> str:
    """Write the page.

    Returns:
        HTML that needs no other file and no network.
    """
    detailed = choose_detailed(report.networks)
    galleries = _galleries(report, detailed)
    return render(
        "report.html",
        title=report.title,
        results=[*result_tables(report.rows), *paper_tables(report.rows)],
        localisation=localisation_tables(report.rows),
        curves=[(title, _curves(title, each)) for title, each in report.curves.items()],
        frame=FRAME,
        learning=[
            (title, [(n.name, charts_of(n)) for n in group])
            for title, group in by_store(report.networks)
        ],
        classes=[_classes(title, group) for title, group in by_store(report.networks)],
        class_tables=_class_tables(report.networks),
        confusion=[_confusion(title, n) for title, group in by_store(detailed) for n in group],
        full_colour=round(100 * FULL_COLOUR),
        sure=SURE,
        galleries=galleries,
        settings=_settings(report.networks),
        configs=_configs(report.networks),
        **_heading(report, detailed),
    )


def _heading(report: Report, detailed: Sequence[Network]) -> dict[str, Any]:
    n_runs, n_networks = sum(len(n.runs) for n in report.networks), len(report.networks)
    stores = [title for title, _ in by_store(report.networks)]
    left_out = []
    if len(detailed) < n_networks:
        left_out.append(
            f"Confusion and clips of {n_networks - len(detailed)} of the {n_networks} networks: "
            "they are shown for the best network on each store, by micro-P of the validation "
            "epoch. "
            "'sedmtl report RUN …' shows them for up to three networks that you name."
        )
    if report.unfinished:
        left_out.append(f"Unfinished runs: {', '.join(report.unfinished)}.")
    return {
        "counts": f"{_count(n_runs, 'run')} of {_count(n_networks, 'network')}, trained on "
        f"{'; '.join(stores)}",
        "left_out": left_out,
    }


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _curves(title: str, curves: Curves) -> Markup:
    content = io.BytesIO()
    plots.psd_roc(curves, title).savefig(content, format="png")
    return data_uri(content.getvalue(), "image/png")


def _classes(title: str, group: Sequence[Network]) -> dict[str, Any]:
    """Average precision by class and network of a store, and the number of clips of each class."""
    first = group[0]
    n_clips = np.sum([run.scores.target.sum(axis=0, dtype=int) for run in first.runs], axis=0)
    rows = [
        (name, int(n_clips[i]), [_cell(float(n.row.per_class["ap"][i])) for n in group])
        for i, name in enumerate(first.row.classes)
    ]
    return {"title": title, "names": [n.name for n in group], "rows": rows}


def _class_tables(networks: Sequence[Network]) -> list[tuple[str, Table]]:
    """All metrics by class: one table per network, under a unique name."""
    return [
        (f"{network.name}, {title}", table)
        for title, group in by_store(networks)
        for network, table in zip(group, class_tables([n.row for n in group]), strict=True)
    ]


def _cell(value: float) -> Cell:
    if math.isnan(value):
        return Cell("–", 0)
    return Cell(f"{value:.3f}".removeprefix("0"), round(100 * value))


def _confusion(title: str, network: Network) -> dict[str, Any]:
    classes, found = network.row.classes, network.confusion()
    rows = [
        (name, [_pair(found, classes, true, other) for other in range(len(classes))])
        for true, name in enumerate(classes)
    ]
    return {
        "title": f"{network.name}, {title}",
        "classes": classes,
        "rows": rows,
        "pairs": _surest(found, classes),
    }


def _pair(found: Confusion, classes: Sequence[str], true: int, other: int) -> Cell:
    excess, is_diagonal = float(found.excess[true, other]), true == other
    what = _words(found, classes, true, other)
    if math.isnan(excess):
        return Cell("–", 0, what, is_diagonal)
    share = excess if is_diagonal else min(1.0, max(0.0, excess / FULL_COLOUR))
    return Cell(str(round(100 * excess)), round(100 * share), what, is_diagonal)


def _words(found: Confusion, classes: Sequence[str], true: int, other: int) -> str:
    n, of = found.n_tagged[true, other], found.n_clips[true, other]
    if true == other:
        return f"{classes[true]}: tagged in {n} of the {of} clips that have it"
    base, base_of = found.n_tagged_without[true, other], found.n_clips_without[true, other]
    return (
        f"{classes[other]} tagged in {n} of {of} clips with {classes[true]}, "
        f"in {base} of {base_of} without"
    )


def _surest(found: Confusion, classes: Sequence[str]) -> list[str]:
    """The most significant confusions, most significant first."""
    sureness = found.sureness()
    sure = np.argwhere(np.nan_to_num(sureness) > SURE)
    order = sorted(sure.tolist(), key=lambda pair: -float(sureness[tuple(pair)]))
    return [_words(found, classes, true, other) for true, other in order[:N_PAIRS]]


def _galleries(report: Report, detailed: Sequence[Network]) -> list[dict[str, Any]]:
    """The clips of each network, with audio up to the size limit of the page."""
    galleries, room = [], MAX_SOUND_BYTES
    for title, group in by_store(detailed):
        for network in group:
            best, worst = choose(network.runs)
            recordings = report.fetch(network, [*best, *worst])
            shown = []
            for pick, recording in zip([*best, *worst], recordings, strict=True):
                clip = picture(network, pick, recording)
                clip["sound"], clip["no_sound"] = _sound(network, pick, recording, room)
                room -= len(clip["sound"])
                shown.append(clip)
            galleries.append({
                "title": f"{network.name}, {title}",
                "doubt": network.low_may_mean_present,
                "n_unlabelled": sum(int((r.scores.target.sum(1) == 0).sum()) for r in network.runs),
                "groups": [("Best", shown[: len(best)]), ("Worst", shown[len(best) :])],
            })  # fmt: skip
    return galleries


def _sound(network: Network, pick: Pick, recording: Recording, room: int) -> tuple[Markup, str]:
    """The audio, or the reason why it is left out, unless the recording states it."""
    if recording.waveform is None:
        return Markup(""), ""
    uri = data_uri(*sound.encode(recording.waveform, network.runs[pick.run].card.sample_rate))
    if len(uri) > room:
        return Markup(""), "No audio: the page has reached its size limit."
    return uri, ""


def _settings(networks: Sequence[Network]) -> Table:
    columns = ("run", "network", "fold", "chosen", "epochs", "batch", "rate", "precision",
               "parameters", "s/epoch", "sedmtl", "torch")  # fmt: skip
    lines = [
        [run.name, network.name, *_facts(run.recipe, epoch, records)]
        for network in networks
        for run, epoch, records in zip(
            network.runs, network.row.epochs, network.records, strict=True
        )
    ]
    notes = ["chosen: the epoch chosen by validation. s/epoch: median seconds per epoch."]
    return Table("Runs", columns, lines, notes, n_left=2)


def _facts(
    recipe: Mapping[str, Any], epoch: int, records: Sequence[Mapping[str, Any]]
) -> list[str]:
    seconds = [record["seconds"] for record in records if "seconds" in record]
    return [
        str(recipe["fold"]),
        str(epoch),
        *(str(recipe.get(key, "–")) for key in ("epochs", "batch_size", "lr", "precision")),
        f"{recipe['n_parameters']:,}",
        f"{np.median(seconds):.1f}" if seconds else "–",
        *(str(recipe.get(key, "–")) for key in ("sedmtl_version", "torch_version")),
    ]


def _configs(networks: Sequence[Network]) -> list[tuple[str, str]]:
    """Each data.yaml, with the stores made from it."""
    runs = chain.from_iterable(network.runs for network in networks)
    stores: dict[str, dict[str, None]] = {}
    for run in runs:
        stores.setdefault(run.facts.get("config", ""), {})[run.data.store] = None
    return [(", ".join(names), text) for text, names in stores.items()]
