"""TAU Urban Acoustic Scenes 2019, development set, as published on Zenodo (record 2589280).

Layout: `meta.csv` (tab-separated: filename, scene_label, identifier, source_label) beside
`audio/*.wav`. The identifier names city and location.
"""

from __future__ import annotations

from collections.abc import Sequence

from sedmtl.config import Config, Tau2019
from sedmtl.data.corpora.recordings import Scene, file_below, find_root
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.tables import read_table


def scenes(settings: Tau2019, config: Config) -> Sequence[Scene]:
    """All scenes of the development set.

    Raises:
        SedmtlError: `meta.csv` or one of its columns is missing, or a scene has two rows, is
            outside the folder, or lacks a label or an identifier.
    """
    published_name = "TAU-urban-acoustic-scenes-2019-development"
    root = find_root(config.locate(settings.root), "meta.csv", published_name)
    columns = ("filename", "scene_label", "identifier")
    table = root / "meta.csv"
    found = []
    for row in read_table(table, columns, "\t", unique="filename"):
        name, label, location = (row[column] for column in columns)
        if not label or not location:
            raise SedmtlError(
                f"{table}: each scene needs a scene_label and an identifier, found {row}"
            )
        found.append(Scene(name, file_below(root, name, table), label, location))
    return sorted(found, key=lambda scene: scene.name)
