"""The listening page: one HTML file with all snippets, for use with or without a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sedmtl.report.embedding import as_json
from sedmtl.report.html import render
from sedmtl.review.exhibit import Exhibit
from sedmtl.review.verdicts import COLUMNS, Review, cells, table_line
from sedmtl.runtime.text import printable

WHY = {
    "uncertain": "where scores are near their thresholds or contradict each other",
    "class": "from all bands of scores of each class",
    "new": "drawn at random",
    "suspicious": "whose labels are probably wrong",
}
"""How the snippets were chosen, as shown to the listener."""


@dataclass(frozen=True)
class Session:
    """The content of one page.

    Attributes:
        name: Unique key under which the browser stores the verdicts.
        by: How the snippets were chosen.
        exhibits: The snippets.
        classes: Classes that the listener can choose from.
        reviewer: Name of the listener.
    """

    name: str
    by: str
    exhibits: Sequence[Exhibit]
    classes: Sequence[str]
    reviewer: str


def review_page(session: Session, given: Iterable[Review] = ()) -> str:
    """Render the page as self-contained HTML.

    Args:
        session: Content of the page.
        given: Verdicts on its snippets that are already in the table, including undone ones.
    """
    number = {each.snippet.key: i for i, each in enumerate(session.exhibits)}
    log = [
        {
            "snippet": number[review.snippet.key],
            "verdict": review.verdict,
            "label": review.heard_label,
            "onset": review.heard_onset_s,
            "offset": review.heard_offset_s,
        }
        for review in given
        if review.snippet.key in number
    ]
    data = {
        "name": session.name,
        "columns": "\t".join(COLUMNS),
        "snippets": [_snippet(each, session.reviewer) for each in session.exhibits],
        "log": log,
    }
    return render(
        "review.html",
        n_snippets=len(session.exhibits),
        why=WHY[session.by],
        classes=session.classes,
        data=as_json(data),
    )


def _snippet(exhibit: Exhibit, reviewer: str) -> dict[str, Any]:
    """The script's input for one snippet."""
    snippet, scores = exhibit.snippet, exhibit.scores
    row = cells(Review(snippet, "unsure", "", None, None, reviewer, ""))
    return {
        # Parts of the table's line before the verdict and after the heard event.
        "head": table_line(row[:4]),
        "tail": table_line(row[8:15]),
        "file": printable(snippet.filename),
        "label": snippet.label,
        "run": snippet.run,
        "score": snippet.score,
        "isWhole": snippet.onset_s is None,
        "start": exhibit.start_s,
        "end": exhibit.end_s,
        "event": exhibit.event_s,
        "sound": exhibit.sound,
        "picture": exhibit.picture,
        "pictureStart": exhibit.picture_s[0],
        "pictureEnd": exhibit.picture_s[1],
        "first": scores.first_s,
        "hop": scores.hop_s,
        "scores": np.round(scores.values.astype(float), 3).tolist(),
        "threshold": scores.threshold,
    }
