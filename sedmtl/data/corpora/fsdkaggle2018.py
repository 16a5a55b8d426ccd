"""FSDKaggle2018 as published on Zenodo (record 2552860): the training clips as events.

Layout: `FSDKaggle2018.audio_train/*.wav` and
`FSDKaggle2018.meta/train_post_competition.csv` (fname, label, manually_verified, …).
"""

from __future__ import annotations

from collections.abc import Sequence

from sedmtl.config import Config, FsdKaggle2018
from sedmtl.data.corpora.recordings import EventClip, find_root, listed_files

TABLE = "FSDKaggle2018.meta/train_post_competition.csv"


def events(settings: FsdKaggle2018, config: Config) -> Sequence[EventClip]:
    """All training clips; clips without manual verification are marked as unusable."""
    root = find_root(config.locate(settings.root), TABLE, "FSDKaggle2018")
    rows = listed_files(
        root / TABLE,
        root / "FSDKaggle2018.audio_train",
        ("fname", "label", "manually_verified"),
        "expected a label and manually_verified 0 or 1",
        fits=lambda row: row["manually_verified"] in ("0", "1"),
    )
    return [
        EventClip(
            name=row["fname"],
            path=path,
            label=row["label"],
            recording=row.get("freesound_id") or row["fname"],
            usable=row["manually_verified"] == "1" or not settings.verified_only,
        )
        for row, path in rows
    ]
