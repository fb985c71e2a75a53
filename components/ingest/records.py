"""Serialized Examples in compressed TFRecord files."""

from __future__ import annotations

import gzip
from collections.abc import Iterable

import tensorflow as tf

from applications.formats.source import Item
from schemas import features

_COMPRESSION_LEVEL = 1  # images are compressed already; more effort gains nothing
_HEADER_BYTES = 12  # of a record: 8 of its length, 4 of their checksum
_LONGEST_RECORD = 1 << 31  # bytes; protobuf reads no more


def make_example(item: Item, content: bytes) -> tf.train.Example:
    """Makes the Example of an image.

    Args:
        item: what is known of it; its group is the split unit.
        content: the encoded image.
    """
    values: dict[str, str | bytes | int | float] = {
        features.IMAGE: content,
        features.LABEL: item.label,
        features.GROUP: item.group,
        features.ORIGIN: item.origin,
        features.SHA256: item.sha256,
        features.PERCEPTUAL_HASH: item.perceptual_hash,
        **item.values,
    }
    example = tf.train.Example()
    stored = example.features.feature
    for key, value in values.items():
        if isinstance(value, int):
            stored[key].int64_list.value.append(value)
        elif isinstance(value, float):
            stored[key].float_list.value.append(value)
        else:
            stored[key].bytes_list.value.append(value.encode() if isinstance(value, str) else value)
    return example


def write_records(path: str, records: Iterable[bytes]) -> int:
    """Writes one gzip TFRecord file; the same records give the same bytes.

    Args:
        path: the file to write; its folder is made where missing.
        records: serialized messages.

    Returns:
        Number of records written.
    """
    tf.io.gfile.makedirs(path.rsplit("/", 1)[0])
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=_COMPRESSION_LEVEL)
    count = 0
    with tf.io.TFRecordWriter(path, options) as writer:
        for record in records:
            writer.write(record)
            count += 1
    return count


def first_record(path: str) -> bytes:
    """Reads the first record of a TFRecord file, gzip if its name ends in `.gz`; b"" where it has none.

    No TensorFlow op is run, as this is called in a process that forks others: they would wait for its threads forever.

    Raises:
        ValueError: it is no TFRecord file.
        OSError: it cannot be read, or is not gzip.
        EOFError: it ends too early.
    """
    with tf.io.gfile.GFile(path, "rb") as file:
        stream = gzip.GzipFile(fileobj=file, mode="rb") if path.endswith(".gz") else file
        header = stream.read(_HEADER_BYTES)
        if not header:
            return b""
        length = int.from_bytes(header[:8], "little")
        if len(header) < _HEADER_BYTES or length > _LONGEST_RECORD:
            raise ValueError(f"it begins with {header[:8]!r}, which is not the length of a record")
        record: bytes = stream.read(length)
        if len(record) < length:
            raise ValueError(f"its first record ends too early, after {len(record)} of {length} bytes")
        return record


def text(example: tf.train.Example, key: str) -> str:
    """Returns the first value of a bytes feature as text; "" where there is none."""
    value = raw(example, key)
    return value.decode("utf-8", errors="replace")


def raw(example: tf.train.Example, key: str) -> bytes:
    """Returns the first value of a bytes feature; b"" where there is none."""
    if key not in example.features.feature:
        return b""
    values = example.features.feature[key].bytes_list.value
    return bytes(values[0]) if values else b""
