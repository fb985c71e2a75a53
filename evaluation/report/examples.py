"""Reads the text and image features of stored Examples without importing TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from applications.formats.tfrecords import not_readable, read_records

PACKAGE = "earthloop.report"  # not "tensorflow": a process may have its messages too


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
            except DecodeError as error:
                raise not_readable(file, str(error)) from error


@functools.cache
def _example_class() -> Any:
    """Returns a message class that reads the bytes features of a tf.train.Example and skips the rest."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="earthloop/report/example.proto", package=PACKAGE, syntax="proto3")

    def message(owner: Any, name: str, *fields: tuple[str, int, bool, str]) -> Any:
        """Adds a message type to the file."""
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
