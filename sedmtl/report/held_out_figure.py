"""Figure 3 of a clip during training, for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sedmtl.events import Event
from sedmtl.inference.inspection import Inspection
from sedmtl.models.settings import FrameMeaning


def draw_held_out(
    name: str,
    inspection: Inspection,
    meaning: FrameMeaning,
    truth: Sequence[Event] | None,
    title: str,
) -> Any:
    """Draw a network's view of a clip; a `training.tensorboard.DrawClip`."""
    # Imported here: matplotlib is slow to import and most trainings do not need it.
    from sedmtl.report.figures import MAX_CLASSES, figure_3
    from sedmtl.report.figures.view import View, choose_classes

    no_decoder = "no decoder was trained"
    view = View(name, inspection, 0.0, inspection.duration_s, meaning, no_decoder)
    return figure_3([view], title, choose_classes([view], truth, MAX_CLASSES), truth)
