"""The requests of a serving check: real items, unreadable ones among them, and the trainer's own."""

from __future__ import annotations

import dataclasses
import gzip
import heapq
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from schemas import features

TFRECORD_HEADER, TFRECORD_FOOTER = struct.Struct("<QI"), 4  # length and its checksum; the data's checksum


@dataclasses.dataclass(frozen=True)
class Item:
    """One item as a client sends it.

    Attributes:
        sha256: of the image file; "" for a damaged one.
        example: serialized Example without the label.
        image: the encoded image.
        damage: "" for a sound item, else what was done to it.
    """

    sha256: str
    example: bytes
    image: bytes
    damage: str = ""


def sample(split_dir: Path, count: int) -> list[Item]:
    """Returns the `count` items of a split with the smallest SHA-256: the same ones each time, of all classes."""
    return heapq.nsmallest(count, _items(split_dir), key=lambda item: item.sha256)


def find(split_dir: Path, sha256: Collection[str]) -> dict[str, Item]:
    """Returns the items of a split that have one of the given SHA-256; those not in the split are left out."""
    wanted = set(sha256)
    found: dict[str, Item] = {}
    for item in _items(split_dir):
        if item.sha256 in wanted:
            found[item.sha256] = item
            if len(found) == len(wanted):
                break
    return found


def with_damage(sound: list[Item]) -> list[Item]:
    """Puts damaged items between sound ones.

    Args:
        sound: at least one item; the first four are used, again from the first where there are fewer.

    Returns:
        sound, empty, sound, garbage, sound, truncated, sound, corrupted: every damaged item has sound neighbours.
    """
    goods = [sound[place % len(sound)] for place in range(4)]
    image = goods[0].image
    middle = slice(len(image) * 2 // 5, len(image) * 3 // 5)
    damaged = {
        "empty": b"",
        "garbage": b"this is no image " * 16,
        "truncated": image[: len(image) // 2],
        "corrupted in the middle": image[: middle.start]
        + bytes(byte ^ 0xA5 for byte in image[middle])
        + image[middle.stop :],
    }
    mixed: list[Item] = []
    for good, (damage, content) in zip(goods, damaged.items(), strict=True):
        mixed += [
            good,
            dataclasses.replace(good, sha256="", image=content, example=_replace(good.example, content), damage=damage),
        ]
    return mixed


def write(path: Path, records: Iterable[bytes]) -> None:
    """Writes a TFRecord file, uncompressed."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def _items(split_dir: Path) -> Iterator[Item]:
    from tensorflow.core.example import example_pb2

    for path in sorted(split_dir.iterdir()):
        for record in _records(path):
            example = example_pb2.Example.FromString(record)
            feature = example.features.feature
            for key in (features.LABEL, features.LABEL_ID):
                if key in feature:
                    del feature[key]
            yield Item(
                sha256=feature[features.SHA256].bytes_list.value[0].decode(),
                example=example.SerializeToString(),
                image=feature[features.IMAGE].bytes_list.value[0],
            )


def _records(path: Path) -> Iterator[bytes]:
    """Reads a TFRecord file without a TensorFlow runtime, which must not start in a forked process."""
    opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with opened as file:
        while header := file.read(TFRECORD_HEADER.size):
            length, _ = TFRECORD_HEADER.unpack(header)
            yield file.read(length)
            file.read(TFRECORD_FOOTER)


def _replace(serialized: bytes, image: bytes) -> bytes:
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example.FromString(serialized)
    example.features.feature[features.IMAGE].bytes_list.value[:] = [image]
    return bytes(example.SerializeToString())
