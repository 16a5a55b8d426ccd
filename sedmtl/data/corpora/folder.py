"""A custom folder: each sub-folder is a class (of events) or a kind (of scenes)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sedmtl.config import Config, Folder
from sedmtl.data.audio import EXTENSIONS, files_below
from sedmtl.data.corpora.recordings import EventClip, Scene
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.folders import entries


def events(settings: Folder, config: Config) -> Sequence[EventClip]:
    """Every audio file below `root/CLASS/`, labelled CLASS.

    Raises:
        SedmtlError: The folder is missing or has no sub-folder, a sub-folder has no audio, or an
            audio file is not in a sub-folder and so has no class.
    """
    root = config.locate(settings.root)
    clips = [
        EventClip(name, path, label, recording=name) for label, name, path in _labelled_files(root)
    ]
    for path in files_below(root):
        if path.parent == root:
            raise SedmtlError(
                f"{path} has no class: move it into a sub-folder of {root}, or remove it"
            )
    return clips


def scenes(settings: Folder, config: Config) -> Sequence[Scene]:
    """Every audio file below `root/KIND/`; each file counts as a separate location.

    Files in `root` itself are scenes of the kind 'scene', so that a flat folder of background
    recordings works, too; then its sub-folders may be empty.
    """
    root = config.locate(settings.root)
    paths = files_below(root) if root.is_dir() else []
    loose = [Scene(path.name, path, "scene", path.name) for path in paths if path.parent == root]
    if loose and len(loose) == len(paths):
        return loose
    return loose + [Scene(name, path, label, name) for label, name, path in _labelled_files(root)]


def _labelled_files(root: Path) -> Iterator[tuple[str, str, Path]]:
    if not root.is_dir():
        raise SedmtlError(f"no folder {root}: expected one with a sub-folder per class")
    classes = [path for path in entries(root) if path.is_dir() and path.name[0] != "."]
    if not classes:
        raise SedmtlError(f"{root} should have one sub-folder per class, found none")
    for folder in classes:
        paths = files_below(folder)
        if not paths:
            known = " ".join(sorted(EXTENSIONS))
            raise SedmtlError(
                f"class '{folder.name}' is empty: expected audio ({known}) in {folder}, found none"
            )
        for path in paths:
            yield folder.name, path.relative_to(root).as_posix(), path
