"""Reads TFRecord files without a TensorFlow runtime, which must not start in a process that forks others.

Framing: https://www.tensorflow.org/tutorials/load_data/tfrecord (length, its checksum, data, its checksum). The
checksums are not looked at: gzip has its own.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from applications.errors import DataError

LONGEST_RECORD = 1 << 30  # bytes; a longer length means that the file is not a TFRecord
_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4


def read_records(file: Path) -> Iterator[bytes]:
    """Yields the records of one TFRecord file; a name that ends in `.gz` is decompressed on the way.

    Raises:
        DataError: the file ends within a record, states a length that no record has, or is damaged.
    """
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        try:
            while header := stream.read(_HEADER.size):
                yield _data(stream, header, file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise not_readable(file, str(error)) from error


def not_readable(file: Path, why: str) -> DataError:
    """Returns the error for a file that is not what it should be."""
    return DataError(
        f"{file.parent.name}/{file.name} must be a TFRecord of Examples: {why}. "
        "Run the stage that wrote it again with --fresh."
    )


def _data(stream: BinaryIO | gzip.GzipFile, header: bytes, file: Path) -> bytes:
    if len(header) == _HEADER.size:
        length, _ = _HEADER.unpack(header)
        if length > LONGEST_RECORD:
            raise not_readable(file, f"a record of {length} bytes is stated")
        data = stream.read(length + _FOOTER_BYTES)
        if len(data) == length + _FOOTER_BYTES:
            return data[:-_FOOTER_BYTES]
    raise not_readable(file, "it ends within a record")
