"""What a store says of planned mixtures: its clips, and their events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sedmtl.data.mix_worker import EventSlice
from sedmtl.data.plan import Plan, PlannedEvent
from sedmtl.store import ClipTable, EventTable


def clip_table(planned: Plan, events: Mapping[str, EventSlice], snr_db: float) -> ClipTable:
    """The clips of a store at one SNR.

    Args:
        planned: The mixtures.
        events: The audio of each event, by the name of its clip.
        snr_db: Of the store.
    """
    mixtures = planned.mixtures
    offset_db = {name: event.snr_offset_db for name, event in events.items()}
    table = event_table([mixture.events for mixture in mixtures], planned.classes)
    realised_db = [snr_db + offset_db[source] for source in table.source]
    return ClipTable(
        name=[mixture.name for mixture in mixtures],
        target=table.target(len(mixtures), len(planned.classes)),
        fold=np.array([mixture.fold for mixture in mixtures], np.uint8),
        validation=np.array([mixture.validation for mixture in mixtures], np.uint8),
        scene=[mixture.scene.name for mixture in mixtures],
        events=replace(table, snr_db=np.array(realised_db, np.float32)),
    )


def event_table(mixtures: Sequence[Sequence[PlannedEvent]], classes: Sequence[str]) -> EventTable:
    """The events of mixtures as a store has them, without their realised SNRs (NaN)."""
    index = {label: i for i, label in enumerate(classes)}
    rows = [
        (i, index[event.clip.label], event.onset_s, event.offset_s)
        for i, events in enumerate(mixtures)
        for event in events
    ]
    names = [event.clip.name for events in mixtures for event in events]
    return EventTable.of(rows, len(classes), names)
