"""Several spans read as one data set: what each source says of its own folder is told of all folders together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import apache_beam as beam

from applications.formats.source import Batch, Source


@dataclasses.dataclass(frozen=True)
class Portions:
    """The folders of one ingest.

    An item's origin is its path from where the spans lie, `<span>/<path in the span>`, so that the same name in two
    spans is two items. Its address says which folder it is in.

    Attributes:
        source: reads each folder.
        folders: name → path; the name of a plain data path is "", and its items keep their origins.
    """

    source: Source
    folders: Mapping[str, str]

    def items(self) -> beam.PTransform:
        """A transform from the pipeline's start to `Batch`es in which every item of every folder is once."""
        return _ReadPortions(self)

    def content(self, address: bytes) -> bytes:
        """Reads the content of one item again; raises `Refused` where it no longer can be.

        Args:
            address: of the item, as `items` gave it.
        """
        place, _, inside = address.partition(b":")
        return self.source.content(list(self.folders.values())[int(place)], inside)


class _ReadPortions(beam.PTransform):
    """Reads all folders into one collection."""

    def __init__(self, portions: Portions) -> None:
        super().__init__()
        self._portions = portions

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Batch]:
        """Gives the batches of all folders, placed among one another."""
        folders = self._portions.folders
        batches = begin | "Folders" >> self._portions.source.items(*folders.values())
        return batches | "Placed" >> beam.Map(_placed, list(folders))


def _placed(batch: Batch, names: Sequence[str]) -> Batch:
    """Puts the folder into origins and addresses."""
    name = names[batch.place]
    prefix, number = f"{name}/" if name else "", b"%d:" % batch.place
    items = [item._replace(origin=f"{prefix}{item.origin}", address=number + item.address) for item in batch.items]
    refused = [dataclasses.replace(refusal, origin=f"{prefix}{refusal.origin}") for refusal in batch.refused]
    return dataclasses.replace(batch, items=items, refused=refused)
