"""The Beam half of `image_folder`: lists the files and reads them in batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import apache_beam as beam

from applications.formats import workers
from applications.formats.image_files import FileReader
from applications.formats.image_folder import list_files
from applications.formats.source import Batch, Item
from applications.spec import Application

_FILES_AT_ONCE = 256


class ReadImageFolder(beam.PTransform):
    """Reads every file of a folder per class."""

    def __init__(self, path: str, application: Application, group: Callable[[str], str]) -> None:
        super().__init__()
        self._path = path
        self._reader = FileReader(path, application, group)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Batch]:
        """Gives one `Batch` for every 256 files."""
        return (
            begin
            | "Path" >> beam.Create([self._path])
            | "List" >> beam.FlatMap(_listed)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.Map(_read, self._reader)
        )


def _listed(path: str) -> Iterator[list[bytes]]:
    files = iter(list_files(path))
    while some := list(itertools.islice(files, _FILES_AT_ONCE)):
        yield some


def _read(files: list[bytes], reader: FileReader) -> Batch:
    found = workers.spread(reader.read, files)
    items = [one for one in found if isinstance(one, Item)]
    return Batch(items, [one for one in found if not isinstance(one, Item)])
