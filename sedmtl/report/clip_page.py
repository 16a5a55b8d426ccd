"""The interactive page of one clip: its audio, the network's maps and the events.

It fills in `templates/clip.html`, whose script draws the maps and reads their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sedmtl.data.audio import Audio
from sedmtl.events import Detection, Event
from sedmtl.report import figures as plots
from sedmtl.report import timeline
from sedmtl.report.curves import KINDS, curves_of
from sedmtl.report.embedding import as_base64, as_json, pack, sound
from sedmtl.report.figures.view import (
    Scale,
    Values,
    View,
    choose_classes,
    score_scale,
    short_names,
    spectrum_scale,
    weight_scale,
)  # fmt: skip
from sedmtl.report.html import render

MAX_CLASSES = 24
"""Most classes: the page of a 10 s clip stays below 3 MB, with 53 kB per class map. Pages of longer
recordings show fewer classes."""

LINE = 13
"""Most characters in a line of a label next to a map."""

KNOWN = {
    "frames": "which classes are active in each frame",
    "times": "when each event sounds",
    "stems": "how each event sounds alone",
}
"""Texts by value of `training.known` in a model card."""

N_CHOSEN = 3
"""Number of classes shown initially, in addition to the true ones."""


@dataclass(frozen=True)
class Clip:
    """The content of the page; event times are relative to the file.

    Attributes:
        file: Name of the recording.
        waveform: (N,) mono audio of the clip without padding.
        truth: The true events, if known.
        recording_s: Length of the whole recording.
    """

    file: str
    view: View
    waveform: Audio
    sample_rate: int
    detected: Sequence[Detection]
    truth: Sequence[Event] | None
    recording_s: float = 0.0


def clip_page(clip: Clip, asked: Sequence[str] = ()) -> str:
    """Self-contained HTML with a choice of classes: those `asked` for, or the most relevant."""
    view, truth = clip.view, clip.truth
    tasks = view.inspection.tasks
    n_maps = view.n_windows * (1 if tasks.masks is None else 2)
    n_most = max(N_CHOSEN, MAX_CLASSES // n_maps)
    shown = list(asked) or choose_classes([view], [*clip.detected, *(truth or ())], n_most)
    return render(
        "clip.html",
        clip=clip,
        view=view,
        data=as_json(_data(view, shown)),
        audio=sound(clip.waveform, clip.sample_rate, is_small=view.n_windows > 1),
        are_asked=bool(asked),
        no_decoder=view.no_decoder if view.inspection.reconstruction is None else "",
        classes=_classes(clip, shown),
        detected_lanes=timeline.lanes(view, clip.detected),
        truth_lanes=timeline.lanes(view, truth or ()),
        padding_share=timeline.share(view, view.audio_end_s) if view.is_padded else None,
        is_part=clip.recording_s > view.audio_end_s + 0.05,
        tasks=tasks,
        scenes=tasks.likeliest_scenes(),
        known=[KNOWN[what] for what in view.known],
        curves=_curves(view),
        **timeline.axes(view),
        **_keys(view, shown),
    )


def _data(view: View, shown: Sequence[str]) -> dict[str, Any]:
    """Input data of the script."""
    edges_s = view.inspection.logmel_edges_s
    return {
        "start_s": view.start_s,
        "end_s": view.end_s,
        "audio_end_s": view.audio_end_s,
        "first_edge_s": float(edges_s[0]),
        "hop_s": float(edges_s[1] - edges_s[0]),
        "n_frames": len(edges_s) - 1,
        "mel_hz": view.inspection.mel_hz.tolist(),
        "maps": {name: pack(values, root)._asdict() for name, values, root in _maps(view, shown)},
        "colours": {
            name: as_base64(plots.colours(name).tobytes()) for name in ("magma", "viridis")
        },
    }


def _maps(view: View, shown: Sequence[str]) -> Iterable[tuple[str, Values, bool]]:
    """Names on the page, values and scaling (whether by square root, for weights) of the maps."""
    clip = view.inspection
    yield "logmel", clip.logmel, False
    if clip.reconstruction is not None:
        yield "reconstruction", clip.reconstruction, False
    if clip.tasks.denoised is not None:
        yield "denoised", clip.tasks.denoised, False
    for name in KINDS:
        if (values := getattr(clip.tasks, name)) is not None:
            yield name, clip.at_logmel_frames(values), False
    for i, row in enumerate(view.rows(shown)):
        if clip.tasks.masks is not None:
            yield f"masks {i}", clip.tasks.masks[row], False
        for name in ("frame", "mel_attention", "time_attention"):
            values = getattr(clip, name)
            if values is not None:
                yield f"{name} {i}", clip.at_logmel_frames(values[row]), name != "frame"


def _keys(view: View, shown: Sequence[str]) -> dict[str, Any]:
    mel = view.of_classes(view.inspection.mel_attention, shown)
    time = view.of_classes(view.inspection.time_attention, shown)
    return {
        "spectrum": _key("σ", spectrum_scale([view]), "magma"),
        "shares": _key("share", Scale(0, 1)),
        "scores": _key("score", score_scale([view])),
        "mel_weights": None if mel is None else _key("weight", weight_scale([mel])),
        "time_weights": None if time is None else _key("weight", weight_scale([time])),
    }


def _curves(view: View) -> list[dict[str, Any]]:
    """The curves with their scales."""
    units = {"count": "events", "active": "probability"}
    return [
        {**each._asdict(), "scale": _key(units[each.kind], Scale(0, each.high))}
        for each in curves_of(view)
    ]


def _key(name: str, scale: Scale, cmap: str = "viridis") -> dict[str, Any]:
    at = np.linspace(0, 1, 9) ** (0.5 if scale.root else 1)
    table = plots.colours(cmap)[np.round(255 * at).astype(int)]
    gradient = ",".join(f"rgb({r},{g},{b})" for r, g, b in table)
    return {**scale._asdict(), "gradient": gradient, "cmap": cmap, "name": name}


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Short names next to maps: two lines, or one if a word is longer than a line."""
    one, two = short_names(names, LINE), short_names(names, 20)
    words = {name: re.split(r"(?<=[ _/.-])", short) for name, short in two.items()}
    return {name: two[name] if max(map(len, words[name])) <= LINE else one[name] for name in names}


def _classes(clip: Clip, shown: Sequence[str]) -> list[dict[str, Any]]:
    view, truth, short = clip.view, clip.truth or (), _labels(shown)
    scores, true = view.inspection.clip[view.rows(shown)], {event.label for event in truth}
    return [
        {
            "name": name,
            "score": f"{score:.2f}",
            "short": short[name],
            "is_chosen": i < N_CHOSEN or name in true,
            "spans": timeline.spans(view, truth, name),
        }
        for i, (name, score) in enumerate(zip(shown, scores, strict=True))
    ]
