"""The Beam half of `image_folder`: lists the files of all folders and reads them in batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import apache_beam as beam

from applications.formats import workers
from applications.formats.image_files import FileReader
from applications.formats.image_folder import list_files
from applications.formats.source import Batch, Item
from applications.spec import Application

_FILES_AT_ONCE = 256


class ReadImageFolders(beam.PTransform):
    """Reads every file of some folders that have a folder per class each."""

    def __init__(self, paths: Sequence[str], application: Application, group: Callable[[str], str]) -> None:
        super().__init__()
        self._paths = list(enumerate(paths))
        self._readers = [FileReader(path, application, group) for path in paths]

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Batch]:
        """Gives one `Batch` for every 256 files of a folder."""
        return (
            begin
            | "Paths" >> beam.Create(self._paths)
            | "List" >> beam.FlatMapTuple(_listed)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.Map(_read, self._readers)
        )


def _listed(place: int, path: str) -> Iterator[tuple[int, list[bytes]]]:
    files = iter(list_files(path))
    while some := list(itertools.islice(files, _FILES_AT_ONCE)):
        yield place, some


def _read(listed: tuple[int, list[bytes]], readers: Sequence[FileReader]) -> Batch:
    place, files = listed
    found = workers.spread(readers[place].read, files)
    items = [one for one in found if isinstance(one, Item)]
    return Batch(items, [one for one in found if not isinstance(one, Item)], place)
