"""The Beam half of `image_folder`: one Example or one Refusal per file. Imports Beam and TensorFlow."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from applications.errors import DataError
from applications.formats.image_folder import list_files
from applications.formats.images import ReadImage, read_image
from applications.formats.refusal import Refusal, Refused
from applications.formats.source import EXAMPLES, REFUSED
from applications.spec import Application
from schemas import features

MOST_BYTES = 1 << 29  # 512 MiB; an Example must stay well below 2 GiB


class ReadImageFolder(beam.PTransform):
    """Reads every file of a folder per class."""

    def __init__(self, path: str, application: Application, group: Callable[[str], str]) -> None:
        super().__init__()
        self._path = path
        self._application = application
        self._group = group

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Gives `{EXAMPLES: …, REFUSED: …}`."""
        read = (
            begin
            | "Path" >> beam.Create([self._path])
            | "List" >> beam.FlatMap(list_files)
            | "Spread" >> beam.Reshuffle()
            | "Read"
            >> beam.ParDo(_ReadFile(self._path, self._application, self._group)).with_outputs(EXAMPLES, REFUSED)
        )
        return {EXAMPLES: read[EXAMPLES], REFUSED: read[REFUSED]}


class _ReadFile(beam.DoFn):
    """Reads one file; nothing that a file holds can make it fail."""

    def __init__(self, path: str, application: Application, group: Callable[[str], str]) -> None:
        super().__init__()
        self._root = path.rstrip("/")
        self._label_ids = {name: index for index, name in enumerate(application.classes)}
        self._max_pixels = application.ingest.max_pixels
        self._group = group

    def process(self, file: bytes) -> Iterator[beam.pvalue.TaggedOutput]:
        """Yields one tagged Example or Refusal.

        Raises:
            DataError: the file lies in a folder that is no class; `ImageFolder.inspect` says so before a run begins.
        """
        origin = file.decode("utf-8", "backslashreplace")
        label = origin.split("/", 1)[0]
        if label not in self._label_ids:
            raise DataError(f"{self._root}: folder {label!r} is no class; there are: {', '.join(self._label_ids)}.")
        data = b""
        try:
            data = read_bytes(f"{self._root}/{os.fsdecode(file)}")
            image = read_image(data, max_pixels=self._max_pixels)
        except Refused as refused:
            sha256 = hashlib.sha256(data).hexdigest() if data or refused.reason == "zero bytes" else ""
            refusal = Refusal(
                origin=origin, reason=refused.reason, detail=refused.detail, bytes=len(data), sha256=sha256
            )
            yield beam.pvalue.TaggedOutput(REFUSED, refusal)
        else:
            example = make_example(data, image, origin, label, self._label_ids[label])
            group = self._group(origin)
            if group:
                example.features.feature[features.GROUP].bytes_list.value.append(group.encode())
            yield beam.pvalue.TaggedOutput(EXAMPLES, example)


def read_bytes(path: str) -> bytes:
    """Reads a whole file of a local or Beam file system.

    Raises:
        Refused: it cannot be opened, is no regular file, or has more than 512 MiB.
    """
    try:
        if "://" not in path and not stat.S_ISREG(os.stat(path).st_mode):
            raise Refused("unreadable", "not a regular file")
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
            data: bytes = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused("unreadable", error.strerror or str(error)) from error
    if len(data) > MOST_BYTES:
        raise Refused("unreadable", f"has more than {MOST_BYTES >> 20} MiB")
    return data


def make_example(data: bytes, image: ReadImage, origin: str, label: str, label_id: int) -> Any:
    """Makes the `tf.train.Example` of one image.

    Args:
        data: the file's content, stored as it is.
        image: what `read_image` found in it.
        origin: path relative to the data path, with "/".
        label: class name.
        label_id: its place among the application's classes, from 0.
    """
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example()
    values = example.features.feature
    texts = {
        features.LABEL: label.encode(),
        features.ORIGIN: origin.encode(),
        features.SHA256: hashlib.sha256(data).hexdigest().encode(),
        features.PERCEPTUAL_HASH: f"{image.perceptual_hash:016x}".encode(),
        features.BRIGHTNESS_BAND: image.brightness_band.encode(),
        features.THUMBNAIL: image.thumbnail.tobytes(),
        features.IMAGE: data,
    }
    for key, text in texts.items():
        values[key].bytes_list.value.append(text)
    numbers = {features.LABEL_ID: label_id, features.HEIGHT_PX: image.height_px, features.WIDTH_PX: image.width_px}
    for key, number in numbers.items():
        values[key].int64_list.value.append(number)
    values[features.BRIGHTNESS].float_list.value.append(image.brightness)
    values[features.CONTRAST].float_list.value.append(image.contrast)
    return example
