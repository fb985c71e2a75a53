"""The object store of a replay: a folder per scheme and bucket, in which only files exist."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from applications.errors import StageError
from pipeline import kubeflow_entrypoint as entrypoint


@dataclasses.dataclass(frozen=True)
class Storage:
    """The store below one folder: `minio://bucket/key` is `<folder>/minio/bucket/key`."""

    folder: Path

    def path(self, uri: str) -> Path:
        """Returns where an object, or a folder of objects, lies.

        Raises:
            StageError: the URI has no scheme that the launcher knows.
        """
        return local_path(uri, self.folder)

    def has(self, uri: str) -> bool:
        """Returns whether there is an object of that URI or under it; a folder without files is none."""
        path = self.path(uri)
        return path.is_file() or any(names for _, _, names in os.walk(path))

    def download(self, uri: str, target: Path) -> None:
        """Copies what lies under a URI to `target`; where there is nothing, nothing is made."""
        source = self.path(uri)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)

    def upload(self, source: Path, uri: str) -> None:
        """Copies a file, or all files of a folder, to a URI; empty folders are lost, as an object store has none."""
        target = self.path(uri)
        if source.is_file():
            _move(source, target)
        for folder, _, names in os.walk(source):
            for name in names:
                file = Path(folder) / name
                _move(file, target / file.relative_to(source))


def local_path(uri: str, root: Path) -> Path:
    """Returns where below `root` the launcher would keep an artifact.

    Raises:
        StageError: the URI has no scheme that the launcher knows, or leads out of `root`.
    """
    found = Path(os.path.normpath(entrypoint.local_path(uri, str(root))))
    if not uri.startswith(tuple(entrypoint.FOLDERS)) or not found.is_relative_to(root):
        raise StageError(
            f"an artifact's URI must begin with {', '.join(entrypoint.FOLDERS)}, got {uri!r}. "
            "Set defaultPipelineRoot, or the URI of an importer, accordingly."
        )
    return found


def _move(source: Path, target: Path) -> None:
    """Moves one file into place; the staging folder it comes from is thrown away anyhow."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
