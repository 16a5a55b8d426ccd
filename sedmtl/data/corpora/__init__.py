"""Corpora: their recordings, with names, labels and origins.

An adapter turns a published or custom folder layout into `EventClip`s or `Scene`s. It reads names
and tables, never audio. `EVENT_ADAPTERS` and `SCENE_ADAPTERS` are the registry: to support another
layout, write a module with such a function, and register it here and in `config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sedmtl.classes import class_name, warn_of_twins
from sedmtl.config import Config
from sedmtl.data.corpora import folder, fsdkaggle2018, synthetic, table, tau2019
from sedmtl.data.corpora.recordings import EventClip, Scene
from sedmtl.runtime.errors import SedmtlError

__all__ = ["EventClip", "Scene", "load_events", "load_scenes"]

# Each adapter takes the settings of its kind and the function that resolves their paths.
EVENT_ADAPTERS: Mapping[str, Callable[[Any, Config], Sequence[EventClip]]] = {
    "fsdkaggle2018": fsdkaggle2018.events,
    "folder": folder.events,
    "csv": table.events,
    "synthetic": synthetic.events,
}
SCENE_ADAPTERS: Mapping[str, Callable[[Any, Config], Sequence[Scene]]] = {
    "tau2019": tau2019.scenes,
    "folder": folder.scenes,
    "csv": table.scenes,
    "synthetic": synthetic.scenes,
}


def load_events(config: Config) -> Sequence[EventClip]:
    """The event clips of `corpus.events`, in an order that depends only on their names.

    Raises:
        SedmtlError: Nothing is configured, the layout is not as expected, or a class has no usable
            clip.
    """
    settings = config.corpus.events
    if settings is None:
        raise SedmtlError("data.yaml names no corpus.events: mixing needs events and scenes")
    found = EVENT_ADAPTERS[settings.kind](settings, config)
    clips = [replace(clip, label=class_name(clip.label)) for clip in found]
    usable = {clip.label for clip in clips if clip.usable}
    for label in sorted({clip.label for clip in clips} - usable):
        raise SedmtlError(
            f"class '{label}' has no manually verified clip: set corpus.events.verified_only to "
            "false, or remove its rows from the table"
        )
    warn_of_twins(usable)
    return clips


def load_scenes(config: Config) -> Sequence[Scene]:
    """The scenes of `corpus.scenes`, in an order that depends only on their names.

    Raises:
        SedmtlError: Nothing is configured, or the layout is not as expected.
    """
    settings = config.corpus.scenes
    if settings is None:
        raise SedmtlError("data.yaml names no corpus.scenes: mixing needs events and scenes")
    return SCENE_ADAPTERS[settings.kind](settings, config)
