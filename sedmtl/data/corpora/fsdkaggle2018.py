"""FSDKaggle2018 as published on Zenodo (record 2552860): the training clips as events.

Layout: `FSDKaggle2018.audio_train/*.wav` and
`FSDKaggle2018.meta/train_post_competition.csv` (fname, label, manually_verified, …).
"""

from __future__ import annotations

from collections.abc import Sequence

from sedmtl.config import Config, FsdKaggle2018
from sedmtl.data.corpora.recordings import EventClip, file_below, find_root
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.tables import read_table

TABLE = "FSDKaggle2018.meta/train_post_competition.csv"
AUDIO = "FSDKaggle2018.audio_train"


def events(settings: FsdKaggle2018, config: Config) -> Sequence[EventClip]:
    """All training clips; clips without manual verification are marked as unusable.

    Raises:
        SedmtlError: The table or a column is missing, a clip has two rows or is outside
            the folder, or `manually_verified` is neither 0 nor 1.
    """
    root = find_root(config.locate(settings.root), TABLE, "FSDKaggle2018")
    clips = []
    columns = ("fname", "label", "manually_verified")
    for row in read_table(root / TABLE, columns, unique="fname"):
        if row["manually_verified"] not in ("0", "1") or not row["label"]:
            raise SedmtlError(
                f"{root / TABLE}: expected a label and manually_verified 0 or 1, found {row}"
            )
        clips.append(
            EventClip(
                name=row["fname"],
                path=file_below(root / AUDIO, row["fname"], root / TABLE),
                label=row["label"],
                recording=row.get("freesound_id") or row["fname"],
                usable=row["manually_verified"] == "1" or not settings.verified_only,
            )
        )
    return sorted(clips, key=lambda clip: clip.name)
