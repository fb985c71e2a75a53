"""Reads a folder per class of encoded images: `<data path>/<class>/**/<any name>.jpg`.

A new image application derives from `ImageFolder` and adds `synthesize`, nothing else.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from applications import remote
from applications.errors import DataError, DataPathError, near_name
from applications.formats.source import Inventory
from applications.spec import Application
from schemas import features

if TYPE_CHECKING:
    import apache_beam as beam

_SYSTEM_LITTER = frozenset({"Thumbs.db", "desktop.ini", "__MACOSX"})  # as good as hidden


class ImageFolder:
    """A source whose label is the name of the folder that a file lies in.

    Every file below a class folder is an item, whatever its extension. Hidden files and folders, files beside the
    class folders (a README, a `truth.json`) are no items.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    def group(self, origin: str) -> str:
        """Names the group that must stay in one split (a scene, a site); "" leaves it to the content.

        Args:
            origin: path relative to the data path, with "/".
        """
        del origin
        return ""

    def inspect(self, *paths: str) -> Inventory:
        """Counts the files of every class and checks that a run can do something with them.

        Args:
            *paths: local folders, or folders on a Beam file system such as `gs://bucket/chips`. Where there are
                several, a class may be missing in some of them, as long as they have it together.

        Raises:
            DataPathError: one is missing, or is no folder.
            DataError: a class folder is unknown; or missing, empty, or with fewer files than there are splits, in all
                paths together.
        """
        known: set[str] = set()
        counts: Counter[str] = Counter()
        for path in paths:
            folders = self._class_folders(path)
            self._check_folders(path, folders)
            known.update(folders)
            counts.update(file.split("/", 1)[0] for file in map(_text, list_files(path)))
        place = paths[0] if len(paths) == 1 else f"{len(paths)} folders from {paths[0]} to {paths[-1]}"
        self._check_classes(place, known)
        inventory = Inventory({name: counts[name] for name in self.application.classes})
        for name, count in inventory.items_by_class.items():
            self._check_count(place, name, count)
        return inventory

    def items(self, *paths: str) -> beam.PTransform:
        """Reads every file below the class folders.

        Args:
            *paths: as `inspect` takes them.

        Returns:
            A transform from `PBegin` to `Batch`es; each file is once in one of them. The order is unspecified.
        """
        from applications.formats.image_folder_beam import ReadImageFolders

        return ReadImageFolders(paths, self.application, self.group)

    def content(self, path: str, address: bytes) -> bytes:
        """Reads the file of an item again.

        Args:
            path: as `inspect` takes it.
            address: of the item, from `items`.

        Raises:
            Refused: it cannot be read.
        """
        from applications.formats.image_files import read_bytes

        return read_bytes(path, address)

    def _class_folders(self, path: str) -> list[str]:
        if "://" in path:
            return sorted({_text(file).split("/", 1)[0] for file in list_files(path)})
        if not os.path.exists(path):
            parent = os.path.dirname(os.path.abspath(path))
            beside = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
            raise DataPathError(
                f"data path {path!r} does not exist.{near_name(os.path.basename(path), beside)} {self._expected()}"
            )
        if not os.path.isdir(path):
            raise DataPathError(f"data path {path!r} is a file, a folder is expected. {self._expected()}")
        try:
            entries = [entry.name for entry in os.scandir(path) if entry.is_dir() and not _is_hidden(entry.name)]
        except OSError as error:
            raise DataPathError(
                f"data path {path!r} cannot be listed: {error.strerror}. Mend its permissions."
            ) from error
        return sorted(entries)

    def _check_folders(self, path: str, folders: list[str]) -> None:
        classes = self.application.classes
        if not set(folders).intersection(classes):
            raise DataError(
                f"data path {path!r} holds no class folder.{self._deeper(path, folders)} {self._expected()}"
            )
        for name in folders:
            if name not in classes:
                raise DataError(
                    f"{path}: folder {name!r} is no class of {self.application.name}; there are: {', '.join(classes)}."
                    f"{near_name(name, classes)} Rename or remove the folder, or add the class to "
                    f"applications/{self.application.name}/app.py and {self.application.schema_path}."
                )

    def _check_classes(self, place: str, known: set[str]) -> None:
        classes = self.application.classes
        if len(known) == 1:
            [only] = known
            raise DataError(
                f"{place}: only one class, {only!r}; telling classes apart takes at least two. {self._expected()}"
            )
        missing = [name for name in classes if name not in known]
        if missing:
            raise DataError(
                f"{place}: class folder {missing[0]!r} is missing"
                + (f" (and {len(missing) - 1} more: {', '.join(missing[1:])})" if missing[1:] else "")
                + f". Add it, or take the class out of applications/{self.application.name}/app.py."
            )

    def _check_count(self, place: str, name: str, count: int) -> None:
        splits = len(features.SPLITS)
        if count == 0:
            raise DataError(
                f"{place}: class folder {name!r} is empty. Put its images there, or take the class "
                f"out of applications/{self.application.name}/app.py."
            )
        if count < splits:
            raise DataError(
                f"{place}: class {name!r} has fewer items ({count}) than there are splits ({splits}: "
                f"{', '.join(features.SPLITS)}). Add images of it."
            )

    def _expected(self) -> str:
        names = ", ".join(self.application.classes)
        return f"Give a folder that has one folder per class of {self.application.name}: {names}."

    def _deeper(self, path: str, folders: list[str]) -> str:
        """Guesses that the person named a folder one level too high."""
        if "://" in path:
            return ""
        for name in folders:
            inside = os.path.join(path, name)
            if any(os.path.isdir(os.path.join(inside, label)) for label in self.application.classes):
                return f" Did you mean {inside!r}?"
        return ""


def _refuse(error: OSError) -> None:
    """Says which folder cannot be listed; left out in silence, its images would just be missing."""
    raise DataPathError(f"folder {str(error.filename)!r} cannot be listed: {error.strerror}. Mend its permissions.")


def list_files(path: str) -> Iterator[bytes]:
    """Lists every item below the sub-folders of a data path.

    Args:
        path: a local folder, or one on a Beam file system.

    Yields:
        Paths relative to `path`, with "/", in the bytes of the file system (a name need not be valid text).
    """
    if "://" in path:
        yield from _list_remote(path)
        return
    for folder, folders, files in os.walk(path, followlinks=True, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        inside = os.path.relpath(folder, path)
        if inside == os.curdir:
            continue
        for name in sorted(files):
            if not _is_hidden(name):
                yield os.fsencode(os.path.join(inside, name).replace(os.sep, "/"))


def _list_remote(path: str) -> Iterator[bytes]:
    root = path.rstrip("/") + "/"
    found = remote.match(root + "**")
    for file in sorted(metadata.path for metadata in found):
        relative = file[len(root) :]
        if "/" in relative and not any(_is_hidden(part) for part in relative.split("/")):
            yield relative.encode()
    if not found:
        raise DataPathError(f"data path {path!r} does not exist or is empty. Check the address.")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_LITTER


def _text(file: bytes) -> str:
    return os.fsdecode(file)
