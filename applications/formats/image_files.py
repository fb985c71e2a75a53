"""Reads one file of an image folder: an item comes of it, or a refusal."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable

from applications.errors import DataError
from applications.formats.images import read_image
from applications.formats.refusal import Refusal, Refused
from applications.formats.source import Item
from applications.spec import Application
from schemas import features

MOST_BYTES = 1 << 29  # 512 MiB; an Example must stay well below 2 GiB


class FileReader:
    """Reads the files of one folder per class."""

    def __init__(self, path: str, application: Application, group: Callable[[str], str]) -> None:
        """Prepares the reading.

        Args:
            path: a local folder, or one on a Beam file system.
            application: its classes name the folders.
            group: names the group of an origin; "" leaves it to the content.
        """
        self._path = path
        self._label_ids = {name: index for index, name in enumerate(application.classes)}
        self._max_pixels = application.ingest.max_pixels
        self._group = group

    def read(self, file: bytes) -> Item | Refusal:
        """Reads one file; nothing that it holds can make this fail.

        Args:
            file: relative to the path, as `image_folder.list_files` gives it.

        Raises:
            DataError: it lies in a folder that is no class; `ImageFolder.inspect` says so before a run begins.
        """
        origin = file.decode("utf-8", "backslashreplace")
        label = origin.split("/", 1)[0]
        if label not in self._label_ids:
            raise DataError(f"{self._path}: folder {label!r} is no class; there are: {', '.join(self._label_ids)}.")
        data = b""
        try:
            data = read_bytes(self._path, file)
            image = read_image(data, max_pixels=self._max_pixels)
        except Refused as refused:
            sha256 = hashlib.sha256(data).hexdigest() if data or refused.reason == "zero bytes" else ""
            return Refusal(origin=origin, reason=refused.reason, detail=refused.detail, bytes=len(data), sha256=sha256)
        return Item(
            origin=origin,
            address=file,
            sha256=hashlib.sha256(data).hexdigest(),
            label=label,
            group=self._group(origin),
            perceptual_hash=f"{image.perceptual_hash:016x}",
            thumbnail=image.thumbnail.tobytes(),
            content_bytes=len(data),
            values={
                features.LABEL_ID: self._label_ids[label],
                features.HEIGHT_PX: image.height_px,
                features.WIDTH_PX: image.width_px,
                features.BRIGHTNESS: image.brightness,
                features.CONTRAST: image.contrast,
                features.BRIGHTNESS_BAND: image.brightness_band,
            },
        )


def read_bytes(path: str, file: bytes) -> bytes:
    """Reads a whole file of a local or Beam file system.

    Args:
        path: the data path.
        file: relative to it, as `image_folder.list_files` gives it.

    Raises:
        Refused: it cannot be opened, is no regular file, or has more than 512 MiB.
    """
    whole = f"{path.rstrip('/')}/{os.fsdecode(file)}"
    try:
        data = _remote_bytes(whole) if "://" in path else _local_bytes(whole)
    except OSError as error:
        raise Refused("unreadable", error.strerror or str(error)) from error
    if len(data) > MOST_BYTES:
        raise Refused("unreadable", f"has more than {MOST_BYTES >> 20} MiB")
    return data


def _local_bytes(path: str) -> bytes:
    """Reads past Beam, whose local file system takes five times as long to open a file."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise Refused("unreadable", "not a regular file")
    with open(path, "rb") as stream:
        return stream.read() if os.fstat(stream.fileno()).st_size <= MOST_BYTES else stream.read(MOST_BYTES + 1)


def _remote_bytes(path: str) -> bytes:
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        data: bytes = stream.read(MOST_BYTES + 1)
    return data
