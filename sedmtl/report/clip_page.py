"""The interactive page of one clip: its audio, the network's maps and the events.

It fills in `templates/clip.html`, whose script draws the maps and reads their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio
from sedmtl.events import Detection, Event
from sedmtl.report import figures as plots
from sedmtl.report import timeline
from sedmtl.report.figures.view import (
    Scale,
    View,
    choose_classes,
    score_scale,
    short_names,
    spectrum_scale,
    weight_scale,
)
from sedmtl.report.html import as_json, data_uri, render
from sedmtl.report.packing import encode, pack, wav

MAX_CLASSES = 24
"""The page of a 10 s clip stays below 3 MB: the map of each class takes 53 kB."""

N_CHOSEN = 3
"""Number of classes shown initially, in addition to the true ones."""

DOUBT = (
    "Events are detected where frame scores are high, but this network's low ones may mean present."
)

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """The content of the page.

    Attributes:
        file: Name of the recording.
        view: The network's view of the clip.
        waveform: (N,) the audio of the clip without padding, mono.
        sample_rate: Sample rate of the waveform.
        detected: The detected events, in seconds of the file.
        truth: The true events, if known.
    """

    file: str
    view: View
    waveform: Audio
    sample_rate: int
    detected: Sequence[Detection]
    truth: Sequence[Event] | None


def clip_page(clip: Clip, asked: Sequence[str] = ()) -> str:
    """Write the page.

    Args:
        clip: Its content.
        asked: The classes to choose from; by default the most relevant ones.

    Returns:
        HTML that needs no other file and no network.
    """
    events: list[Event | Detection] = [*clip.detected, *(clip.truth or ())]
    shown = list(asked) or choose_classes([clip.view], events, MAX_CLASSES)
    return render(
        "clip.html",
        clip=as_json(_data(clip.view, shown)),
        audio=data_uri(wav(clip.waveform, clip.sample_rate), "audio/wav"),
        classes=_classes(clip, shown),
        left_out=_left_out(clip.view, shown, bool(asked)),
        **_heading(clip),
        **_events(clip),
        **_axes(clip.view),
        **_keys(clip.view, shown),
    )


def _data(view: View, shown: Sequence[str]) -> dict[str, Any]:
    """The input of the script."""
    edges_s = view.inspection.logmel_edges_s
    return {
        "start_s": view.start_s,
        "end_s": view.end_s,
        "heard_end_s": view.heard_end_s,
        "first_edge_s": float(edges_s[0]),
        "hop_s": float(edges_s[1] - edges_s[0]),
        "n_frames": len(edges_s) - 1,
        "mel_hz": view.inspection.mel_hz.tolist(),
        "maps": {name: pack(values, root)._asdict() for name, values, root in _maps(view, shown)},
        "colours": {name: encode(plots.colours(name)) for name in ("magma", "viridis")},
    }


def _maps(view: View, shown: Sequence[str]) -> Iterable[tuple[str, Values, bool]]:
    """The maps, their names on the page, and whether they are weights."""
    clip, at_logmel = view.inspection, view.inspection.at_logmel_frames
    yield "logmel", clip.logmel, False
    if clip.reconstruction is not None:
        yield "reconstruction", clip.reconstruction, False
    for i, row in enumerate(view.rows(shown)):
        yield f"frame {i}", at_logmel(clip.frame[row]), False
        if clip.mel_attention is not None:
            yield f"mel_attention {i}", at_logmel(clip.mel_attention[row]), True
        if clip.time_attention is not None:
            yield f"time_attention {i}", at_logmel(clip.time_attention[row]), True


def _heading(clip: Clip) -> dict[str, Any]:
    view = clip.view
    return {
        "file": clip.file,
        "times": view.times,
        "run": view.name,
        "start_s": view.start_s,
        "heard_end_s": view.heard_end_s,
        "frame_title": view.frame_title,
        "doubt": DOUBT if view.low_may_mean_present else "",
        "no_decoder": view.no_decoder if view.inspection.reconstruction is None else "",
    }


def _events(clip: Clip) -> dict[str, Any]:
    view, truth = clip.view, clip.truth
    return {
        "detected": [_item(event, f"{event.score:.2f}") for event in clip.detected],
        "truth": None if truth is None else [_item(event) for event in truth],
        "detected_lanes": timeline.lanes(view, clip.detected),
        "truth_lanes": timeline.lanes(view, truth or ()),
    }


def _item(event: Event | Detection, score: str = "") -> dict[str, Any]:
    times = f"{event.onset_s:.2f} to {event.offset_s:.2f} s"
    return {**event._asdict(), "times": times, "score": score}


def _axes(view: View) -> dict[str, Any]:
    begin_s, end_s = view.inspection.logmel_edges_s[[0, -1]]
    left, right = timeline.share(view, begin_s), timeline.share(view, end_s)
    is_padded = view.heard_end_s < view.end_s
    return {
        "canvas_style": f"left:{left:.4f}%;width:{right - left:.4f}%",
        "padding_share": timeline.share(view, view.heard_end_s) if is_padded else None,
        "time_ticks": timeline.time_ticks(view),
        "mel_ticks": timeline.frequency_ticks(view),
    }


def _keys(view: View, shown: Sequence[str]) -> dict[str, Any]:
    clip, rows = view.inspection, view.rows(shown)
    mel, time = clip.mel_attention, clip.time_attention
    return {
        "spectrum": _key("σ", spectrum_scale([view]), "magma"),
        "scores": _key("score", score_scale([view])),
        "mel_weights": None if mel is None else _key("weight", weight_scale([mel[rows]])),
        "time_weights": None if time is None else _key("weight", weight_scale([time[rows]])),
    }


def _key(name: str, scale: Scale, cmap: str = "viridis") -> dict[str, Any]:
    at = np.linspace(0, 1, 9) ** (0.5 if scale.root else 1)
    table = plots.colours(cmap)[np.round(255 * at).astype(int)]
    return {
        **scale._asdict(),
        "low_text": f"{scale.low:.2g}",
        "high_text": f"{scale.high:.2g}",
        "gradient": ",".join(f"rgb({r},{g},{b})" for r, g, b in table),
        "cmap": cmap,
        "name": name,
    }


def _classes(clip: Clip, shown: Sequence[str]) -> list[dict[str, Any]]:
    short, true = short_names(shown, 20), {event.label for event in clip.truth or ()}
    spans = timeline.spans(clip.view, clip.truth or ())
    scores = clip.view.inspection.clip[clip.view.rows(shown)].tolist()
    return [
        {
            "name": name,
            "score": f"{score:.2f}",
            "short": short[name],
            "is_chosen": i < N_CHOSEN or name in true,
            "spans": [span for span in spans if span.label == name],
        }
        for i, (name, score) in enumerate(zip(shown, scores, strict=True))
    ]


def _left_out(view: View, shown: Sequence[str], are_asked: bool) -> str:
    n_shown, n_all = len(shown), len(view.inspection.classes)
    why = "as requested" if are_asked else "the likeliest, the detected and the true"
    sentence = f"{n_shown} of {n_all} classes are shown, {why}; {n_all - n_shown} are left out."
    return sentence if n_shown < n_all else ""
