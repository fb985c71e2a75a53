"""Reads the records of one split from its TFRecord files, without a TensorFlow runtime."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from applications.errors import DataError

_HEADER = struct.Struct("<QI")  # length of the data, and a checksum of the length
_FOOTER_BYTES = 4  # a checksum of the data; gzip has its own, so neither is looked at


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
        DataError: a file ends within a record.
    """
    for name in files:
        opened = gzip.open(name, "rb") if name.endswith(".gz") else Path(name).open("rb")
        with cast("BinaryIO", opened) as file:
            while header := file.read(_HEADER.size):
                yield _data(file, header, name)


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


def _data(file: BinaryIO, header: bytes, name: str) -> bytes:
    if len(header) == _HEADER.size:
        length, _ = _HEADER.unpack(header)
        data = file.read(length + _FOOTER_BYTES)
        if len(data) == length + _FOOTER_BYTES:
            return data[:-_FOOTER_BYTES]
    raise DataError(f"the TFRecord file {name} ends within a record; run the stage `ingest` again.")
