"""Reads the text and image features of stored Examples without importing TensorFlow.

TFRecord framing: https://www.tensorflow.org/tutorials/load_data/tfrecord (length, its checksum, data, its checksum).
"""

from __future__ import annotations

import functools
import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from applications.errors import DataError

PACKAGE = "earthloop.report"  # not "tensorflow": a process may have its messages too
LENGTH_BYTES, CHECKSUM_BYTES = 8, 4
LARGEST_RECORD = 1 << 30  # bytes; a longer length means that the file is not a TFRecord


def read_examples(folder: Path, split: str) -> Iterator[dict[str, bytes]]:
    """Yields the first bytes value of every bytes feature of every Example of one split.

    Args:
        folder: an Examples artifact, with `Split-<name>/` folders of TFRecord files, plain or `.gz`.
        split: such as "test".

    Raises:
        DataError: a file is cut off or is not a TFRecord of Examples.
    """
    from google.protobuf.message import DecodeError

    for file in sorted((folder / f"Split-{split}").glob("*")):
        if file.is_file() and not file.name.startswith("."):
            try:
                for record in read_records(file):
                    features = _example_class().FromString(record).features.feature
                    yield {
                        name: found.bytes_list.value[0] for name, found in features.items() if found.bytes_list.value
                    }
            except (DecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise _not_readable(file, str(error)) from error


def read_records(file: Path) -> Iterator[bytes]:
    """Yields the records of one TFRecord file; a name that ends in `.gz` is decompressed on the way.

    Raises:
        DataError: the file ends within a record, or states a length that no record has.
    """
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        while head := stream.read(LENGTH_BYTES + CHECKSUM_BYTES):
            if len(head) < LENGTH_BYTES + CHECKSUM_BYTES:
                raise _not_readable(file, "it ends within a record")
            (length,) = struct.unpack("<Q", head[:LENGTH_BYTES])
            if length > LARGEST_RECORD:
                raise _not_readable(file, f"a record of {length} bytes is stated")
            yield _exactly(stream, length, file)
            _exactly(stream, CHECKSUM_BYTES, file)


def _exactly(stream: BinaryIO | gzip.GzipFile, length: int, file: Path) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise _not_readable(file, "it ends within a record")
    return data


def _not_readable(file: Path, why: str) -> DataError:
    return DataError(
        f"{file.parent.name}/{file.name} must be a TFRecord of Examples: {why}. "
        "Run the stage that wrote it again with --fresh."
    )


@functools.cache
def _example_class() -> Any:
    """Returns a message class that reads the bytes features of a tf.train.Example and skips the rest."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="earthloop/report/example.proto", package=PACKAGE, syntax="proto3")

    def message(owner: Any, name: str, *fields: tuple[str, int, bool, str]) -> Any:
        made = owner.add(name=name)
        for field, number, repeated, kind in fields:
            made.field.add(
                name=field,
                number=number,
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
                type=kinds.TYPE_MESSAGE if kind.startswith(".") else getattr(kinds, f"TYPE_{kind}"),
                type_name=kind if kind.startswith(".") else None,
            )
        return made

    message(file.message_type, "BytesList", ("value", 1, True, "BYTES"))
    message(file.message_type, "Feature", ("bytes_list", 1, False, f".{PACKAGE}.BytesList"))
    features = message(file.message_type, "Features", ("feature", 1, True, f".{PACKAGE}.Features.FeatureEntry"))
    entry = message(
        features.nested_type,
        "FeatureEntry",
        ("key", 1, False, "STRING"),
        ("value", 2, False, f".{PACKAGE}.Feature"),
    )
    entry.options.map_entry = True
    message(file.message_type, "Example", ("features", 1, False, f".{PACKAGE}.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Example"))
