"""The requests of a serving check: real items, unreadable ones among them, and the trainer's own."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from components.split_records import records
from schemas import features


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


def write(path: Path, contents: Iterable[bytes]) -> list[int]:
    """Writes one request after the other into a file and returns their sizes in bytes."""
    with path.open("wb") as file:
        return [file.write(content) for content in contents]


def _items(split_dir: Path) -> Iterator[Item]:
    from tensorflow.core.example import example_pb2

    for record in records(sorted(str(path) for path in split_dir.iterdir())):
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


def _replace(serialized: bytes, image: bytes) -> bytes:
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example.FromString(serialized)
    example.features.feature[features.IMAGE].bytes_list.value[:] = [image]
    return bytes(example.SerializeToString())
