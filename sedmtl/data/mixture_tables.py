"""The store's tables of planned mixtures: clips and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sedmtl.data.mix_worker import EventSlice
from sedmtl.data.plan import Plan, PlannedEvent
from sedmtl.store import ClipTable, EventTable


def clip_table(planned: Plan, events: Mapping[str, EventSlice], snr_db: float) -> ClipTable:
    """Make the clip table of a store at one SNR.

    Args:
        planned: The mixtures.
        events: The audio of each event, by clip name.
        snr_db: Nominal SNR of the store.
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
    """Make the event table of mixtures, without realised SNRs (NaN)."""
    index = {label: i for i, label in enumerate(classes)}
    rows = [
        (i, index[event.clip.label], event.onset_s, event.offset_s)
        for i, events in enumerate(mixtures)
        for event in events
    ]
    names = [event.clip.name for events in mixtures for event in events]
    return EventTable.of(rows, len(classes), names)
