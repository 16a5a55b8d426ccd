"""TAU Urban Acoustic Scenes 2019, development set, as published on Zenodo (record 2589280).

Layout: `meta.csv` (tab-separated: filename, scene_label, identifier, source_label) beside
`audio/*.wav`. The identifier names city and location.
"""

from __future__ import annotations

from collections.abc import Sequence

from sedmtl.config import Config, Tau2019
from sedmtl.corpora.recordings import Scene, find_root
from sedmtl.tables import read_table


def scenes(settings: Tau2019, config: Config) -> Sequence[Scene]:
    """All scenes of the development set.

    Raises:
        SedmtlError: `meta.csv` or one of its columns is missing, or a scene has two rows.
    """
    published_name = "TAU-urban-acoustic-scenes-2019-development"
    root = find_root(config.locate(settings.root), "meta.csv", published_name)
    columns = ("filename", "scene_label", "identifier")
    rows = read_table(root / "meta.csv", columns, "\t", unique="filename")
    found = [
        Scene(row["filename"], root / row["filename"], row["scene_label"], row["identifier"])
        for row in rows
    ]
    return sorted(found, key=lambda scene: scene.name)
