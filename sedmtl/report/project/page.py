"""`sedmtl report`: one page about all finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sedmtl.config import Config
from sedmtl.evaluation.aggregate import tabulate
from sedmtl.evaluation.evaluate import outdated_runs, score_runs, unfinished_runs
from sedmtl.evaluation.paper_tables import paper_tables
from sedmtl.evaluation.rows import Row, ScoredRun, by_data
from sedmtl.evaluation.tables import (
    Table,
    class_tables,
    localisation_tables,
    result_tables,
)  # fmt: skip
from sedmtl.inference.task_predictions import TaskPredictions
from sedmtl.report import figures as plots
from sedmtl.report.embedding import data_uri, sound
from sedmtl.report.html import render
from sedmtl.report.project.clips import (
    Pick,
    Stored,
    choose,
    picture,
    read_recording,
    read_stored,
    standardise,
)  # fmt: skip
from sedmtl.report.project.heads import predict_tasks
from sedmtl.report.project.heat import FULL_COLOUR, SURE, confusion_table, precision_table
from sedmtl.report.project.learning import charts_of
from sedmtl.report.project.networks import Network, Record, choose_detailed, networks_of
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import make_folder
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import check_output, write_output

MAX_SOUND_BYTES = 4_000_000
"""Limit for all embedded audio: the page stays below 8 MB."""


def report(
    config: Config, names: Sequence[str], out_path: Path | None = None, *, force: bool | None = None
) -> Path:
    """Write the page, by default about all finished runs to `work/report.html`.

    Raises:
        SedmtlError: A run does not exist or is not finished, there are no runs, or the page cannot
            be written, or is the user's and `force` is not set.
    """
    path, runs_dir = out_path or config.work_dir / "report.html", config.work_dir / "runs"
    check_output(path, force=force)
    runs = score_runs(runs_dir, names)
    rows = tabulate(runs)
    make_folder(path.parent)
    with progress.progress("drawing the report", 1) as advance:
        unfinished = [] if names else unfinished_runs(runs_dir)
        outdated = outdated_runs(config.work_dir, runs)
        text = _page(config, rows, unfinished, outdated)
        advance(1)
    write_output(path, text, force=force)
    return path


def _page(
    config: Config, rows: Sequence[Row], unfinished: Sequence[str], outdated: Sequence[str]
) -> str:
    """Self-contained HTML."""
    networks = networks_of(rows)
    detailed = choose_detailed(networks)
    by_store = [(data.title, group) for data, group in by_data(networks)]
    return render(
        "report.html",
        title=f"Report on {config.work_dir.resolve().parent.name}",
        n_runs=sum(len(network.runs) for network in networks),
        n_networks=len(networks),
        left_out=_left_out(len(networks), len(detailed), unfinished),
        results=[*result_tables(rows, outdated), *paper_tables(rows)],
        localisation=localisation_tables(rows),
        curves=[
            (data.title, data_uri(plots.encode(figure, "png"), "image/png"))
            for data, figure in plots.score_curves(rows)
        ],
        learning=[(title, [(n.name, charts_of(n)) for n in group]) for title, group in by_store],
        classes=[precision_table(title, group) for title, group in by_store],
        class_tables=[
            (network.title, class_tables([network.row]))
            for _, group in by_store
            for network in group
        ],
        confusion=[confusion_table(n) for n in detailed],
        full_colour=round(100 * FULL_COLOUR),
        sure=SURE,
        galleries=_galleries(config, detailed),
        settings=_settings(networks),
        configs=_configs(networks),
    )


def _left_out(n_networks: int, n_detailed: int, unfinished: Sequence[str]) -> list[str]:
    sentences = []
    if n_detailed < n_networks:
        sentences.append(
            f"Confusion and clips of {n_networks - n_detailed} of the {n_networks} networks: they "
            "are shown for the best network on each store, by micro-P of the validation epoch. "
            "'sedmtl report RUN …' shows them for up to three networks that you name."
        )
    if unfinished:
        sentences.append(f"Unfinished runs: {', '.join(unfinished)}.")
    return sentences


def _galleries(config: Config, networks: Sequence[Network]) -> list[dict[str, Any]]:
    """The clips of each network, with audio up to the size limit of the page."""
    galleries, room = [], MAX_SOUND_BYTES
    for network in networks:
        best, worst = choose(network.runs)
        shown = []
        for clip in _clips(config, network, [*best, *worst]):
            if len(clip["sound"]) > room:
                full = "No audio: the page has reached its size limit."
                clip |= {"sound": "", "missing": [*clip["missing"], full]}
            room -= len(clip["sound"])
            shown.append(clip)
        galleries.append({
            "title": network.title,
            "doubt": network.runs[0].card.network.frame_meaning == "signed",
            "n_unlabelled": sum(int((r.scores.target.sum(1) == 0).sum()) for r in network.runs),
            "groups": [("Best", shown[: len(best)]), ("Worst", shown[len(best) :])],
        })  # fmt: skip
    return galleries


def _clips(config: Config, network: Network, picks: Sequence[Pick]) -> list[dict[str, Any]]:
    """Content of the page for clips, with log-mel and audio if available."""
    run, missing = network.runs[0], []
    path = config.work_dir / "features" / f"{run.data.store}.h5"
    logmels: Sequence[Stored | None] = [None] * len(picks)
    tasks = [TaskPredictions()] * len(picks)
    try:
        stored = read_stored(path, "logmel", picks)
        logmels = standardise(picks, stored)
    except SedmtlError as error:
        missing.append(f"No log-mel: {error}.")
    else:
        try:
            tasks = predict_tasks(path, picks, stored)
        except SedmtlError as error:
            missing.append(f"No predictions of tasks: {error}.")
    shown, sounds = [], _waveforms(config, run, picks)
    for pick, logmel, predicted, found in zip(picks, logmels, tasks, sounds, strict=True):
        if isinstance(found, SedmtlError):
            heard = {"sound": "", "missing": [*missing, f"No audio: {found}."]}
        else:
            sounding = sound(found, run.card.sample_rate, is_small=True)
            heard = {"sound": sounding, "missing": missing}
        shown.append({**picture(pick, logmel, predicted), **heard})
    return shown


def _waveforms(
    config: Config, run: ScoredRun, picks: Sequence[Pick]
) -> Sequence[Stored | SedmtlError]:
    """Read the audio of clips from their mixture store or the custom recordings."""

    def attempt(pick: Pick) -> Stored | SedmtlError:
        try:
            return read_recording(config, pick)
        except SedmtlError as error:
            return error

    if run.snr_db is None:
        return [attempt(pick) for pick in picks]
    path = config.work_dir / "mixtures" / f"{run.data.store}.h5"
    try:
        return read_stored(path, "waveform", picks)
    except SedmtlError as error:
        return [error] * len(picks)


def _settings(networks: Sequence[Network]) -> Table:
    columns = ("run", "network", "fold", "chosen", "epochs", "batch", "rate", "precision",
               "parameters", "s/epoch", "sedmtl", "torch")  # fmt: skip
    lines = [
        [run.name, n.name, *_facts(run.recipe, epoch, records)]
        for n in networks
        for run, epoch, records in zip(n.runs, n.row.epochs, n.records, strict=True)
    ]
    notes = ["chosen: the epoch chosen by validation. s/epoch: median seconds per epoch."]
    return Table("Runs", columns, lines, notes, n_left=2)


def _facts(recipe: Mapping[str, Any], epoch: int, records: Sequence[Record]) -> list[str]:
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
    """Texts of the `data.yaml` versions, with the names of the stores made from each."""
    stores: dict[str, dict[str, None]] = {}
    for run in chain.from_iterable(network.runs for network in networks):
        stores.setdefault(run.facts.get("config", ""), {})[run.data.store] = None
    return [(", ".join(names), text) for text, names in stores.items()]
