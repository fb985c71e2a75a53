"""What every source of data offers, whatever its files look like."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import apache_beam as beam

EXAMPLES, REFUSED = "examples", "refused"  # keys of the two collections that `Source.examples` gives


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


class Source(Protocol):
    """Reads the real files of an application, and makes a synthetic sample of them."""

    def inspect(self, path: str) -> Inventory:
        """Looks at the layout without reading the files; raises `DataPathError` or `DataError` where it cannot do."""
        ...

    def examples(self, path: str) -> beam.PTransform:
        """A transform from the pipeline's start to `{EXAMPLES: tf.train.Example, REFUSED: Refusal}`, one per item."""
        ...

    def synthesize(self, out_dir: str, *, items: int, seed: int) -> None:
        """Writes raw files and `truth.json` into a new or empty folder; the same seed gives the same bytes."""
        ...
