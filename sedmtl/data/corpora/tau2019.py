"""TAU Urban Acoustic Scenes 2019, development set, as published on Zenodo (record 2589280).

Layout: `audio/*.wav` and `meta.csv` (tab-separated: filename, scene_label, identifier,
source_label). The identifier names city and location.
"""

from __future__ import annotations

from collections.abc import Sequence

from sedmtl.config import Config, Tau2019
from sedmtl.data.corpora.recordings import Scene, find_root, listed_files


def scenes(settings: Tau2019, config: Config) -> Sequence[Scene]:
    """All scenes of the development set."""
    published_name = "TAU-urban-acoustic-scenes-2019-development"
    root = find_root(config.locate(settings.root), "meta.csv", published_name)
    rows = listed_files(
        root / "meta.csv",
        root,
        ("filename", "scene_label", "identifier"),
        "each scene needs a scene_label and an identifier",
        delimiter="\t",
    )
    return [
        Scene(row["filename"], path, row["scene_label"], row["identifier"]) for row, path in rows
    ]
