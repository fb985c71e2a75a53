"""The TFRecord files of one split, and their records one by one or in batches, without a TensorFlow runtime."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from applications.errors import DataError
from applications.formats.tfrecords import read_records


def split_files(examples: Path, split: str) -> list[str]:
    """Lists the TFRecord files of a split, sorted.

    Raises:
        DataError: there are none.
    """
    files = sorted(str(path) for path in (examples / f"Split-{split}").glob("*") if path.is_file())
    if not files:
        raise DataError(f"the split {split!r} has no files in {examples}; run the stage `ingest` again.")
    return files


def records(files: Iterable[str]) -> Iterator[bytes]:
    """Yields the records of TFRecord files, in order; a name that ends in ".gz" means compressed.

    Raises:
        DataError: a file is damaged or ends within a record.
    """
    for name in files:
        yield from read_records(Path(name))


def batches(files: Iterable[str], items: int, size_bytes: float = math.inf) -> Iterator[list[bytes]]:
    """Yields the records of TFRecord files in lists that end with so many items, or when they are so large.

    Args:
        files: as for `records`.
        items: at most.
        size_bytes: of the records together; the last of a list may go beyond.
    """
    batch: list[bytes] = []
    size = 0
    for record in records(files):
        batch.append(record)
        size += len(record)
        if len(batch) == items or size >= size_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
