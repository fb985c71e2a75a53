"""What every source of data offers, whatever its files look like."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple, Protocol

from applications.formats.refusal import Refusal

if TYPE_CHECKING:
    import apache_beam as beam


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What lies in a data path.

    Attributes:
        items_by_class: number of files of each class, good or not, in the order of the spec's classes.
    """

    items_by_class: dict[str, int]

    @property
    def items(self) -> int:
        """Number of files in all."""
        return sum(self.items_by_class.values())


class Item(NamedTuple):
    """All that is known of one readable item but its content, which is large and read again when the item is written.

    Attributes:
        origin: names the item, for people too; of a file its path relative to the data path, with "/".
        address: what `Source.content` finds the content by.
        sha256: 64 hexadecimal digits, of the content.
        label: class name.
        group: what must stay in one split (a scene, a site); "" where the source knows none.
        perceptual_hash: 16 hexadecimal digits, see `perceptual`; "" where the item is not an image.
        thumbnail: 8 by 8 by RGB levels, see `perceptual`; b"" where the item is not an image.
        content_bytes: size of the content.
        values: what else its Example holds: feature key → value.
    """

    origin: str
    address: bytes
    sha256: str
    label: str
    group: str
    perceptual_hash: str
    thumbnail: bytes
    content_bytes: int
    values: dict[str, str | int | float]


@dataclasses.dataclass(frozen=True)
class Batch:
    """What became of some items that were read together: one element for Beam, whose cost is by the element.

    Attributes:
        items: the readable ones.
        refused: the others.
        place: which of the paths they were read from, the first being 0.
    """

    items: list[Item]
    refused: list[Refusal]
    place: int = 0


class Source(Protocol):
    """Reads the real files of an application, and makes a synthetic sample of them."""

    def inspect(self, *paths: str) -> Inventory:
        """Looks at the layout without reading the files; raises `DataPathError` or `DataError` where it cannot do.

        Several paths are portions of one data set: together they must hold what a run needs.
        """
        ...

    def items(self, *paths: str) -> beam.PTransform:
        """A transform from the pipeline's start to `Batch`es in which every item of every path is once, in any order.

        One transform for all paths: a branch of the pipeline for each costs 0.2 s of CPU.
        """
        ...

    def content(self, path: str, address: bytes) -> bytes:
        """Reads the content of one item again; raises `Refused` where it no longer can be."""
        ...

    def synthesize(self, out_dir: str, *, items: int, seed: int) -> None:
        """Writes raw files and `truth.json` into a new or empty folder; the same seed gives the same bytes."""
        ...
