"""A folder of one's own: each sub-folder is a class (of events) or a kind (of scenes)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sedmtl.config import Config, Folder
from sedmtl.data.audio import EXTENSIONS, files_below
from sedmtl.data.corpora.recordings import EventClip, Scene
from sedmtl.runtime.errors import SedmtlError


def events(settings: Folder, config: Config) -> Sequence[EventClip]:
    """Every audio file below `root/CLASS/`, labelled CLASS.

    Raises:
        SedmtlError: The folder is missing, has no sub-folder, one of them has no audio, or audio
            lies beside them, where it has no class.
    """
    root = config.locate(settings.root)
    clips = [
        EventClip(name, path, label, recording=name) for label, name, path in _labelled_files(root)
    ]
    for path in files_below(root):
        if path.parent == root:
            raise SedmtlError(f"{path} has no class: move it into a sub-folder of {root}, or away")
    return clips


def scenes(settings: Folder, config: Config) -> Sequence[Scene]:
    """Every audio file below `root/KIND/`; each file counts as a location of its own.

    Files that lie in `root` itself are scenes of the kind 'scene', so that one flat folder of
    background recordings will do; it may have sub-folders that hold none.
    """
    root = config.locate(settings.root)
    paths = list(files_below(root)) if root.is_dir() else []
    loose = [Scene(path.name, path, "scene", path.name) for path in paths if path.parent == root]
    if loose and len(loose) == len(paths):
        return loose
    return loose + [Scene(name, path, label, name) for label, name, path in _labelled_files(root)]


def _labelled_files(root: Path) -> Iterator[tuple[str, str, Path]]:
    if not root.is_dir():
        raise SedmtlError(f"no folder {root}: expected one with a sub-folder a class")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    if not folders:
        raise SedmtlError(f"{root} should hold one sub-folder a class, found none")
    for folder in folders:
        paths = list(files_below(folder))
        if not paths:
            known = " ".join(sorted(EXTENSIONS))
            raise SedmtlError(
                f"class '{folder.name}' is empty: expected audio ({known}) in {folder}, found none"
            )
        for path in paths:
            yield folder.name, path.relative_to(root).as_posix(), path
