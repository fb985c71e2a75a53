"""Decides, from what is known of every item, who is refused, who belongs together and which split each goes to."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from applications.formats.alike import contrast
from applications.formats.perceptual import FLAT_LEVELS, THUMBNAIL_PX
from applications.formats.refusal import Refusal
from applications.formats.source import Item
from applications.settings import IngestSettings, SplitSettings
from components.ingest.duplicates import clusters, join
from components.ingest.splits import split_of
from schemas import features

BY_CONTENT = "content"  # the `group_by` of applications whose split unit is the near-duplicate cluster


class Place(NamedTuple):
    """Where an item belongs."""

    split: str
    group: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The decision on every item.

    Attributes:
        places: origin → place, of the items that are accepted.
        refused: all quarantined items, by origin.
        summary: counts for people and for the limit, as in `summary.json`.
    """

    places: dict[str, Place]
    refused: list[Refusal]
    summary: dict[str, Any]


def make_plan(
    items: Iterable[Item], refused: Iterable[Refusal], group_by: str, ingest: IngestSettings, split: SplitSettings
) -> Plan:
    """Plans an ingest; the answer does not depend on the order of the items.

    Groups that the source knows are kept whole, and those that share near-duplicates are joined under the name that
    sorts first. Flat images (open water, a blank page) join none: alike as they are, they would join strangers.

    Args:
        items: all that are readable.
        refused: items the source could not read.
        group_by: "content" groups near-duplicates; any other word starts from the source's groups.
        ingest: how near a near-duplicate is, and the limit on bad items.
        split: fractions and seed.
    """
    ordered = sorted(items, key=lambda item: (item.sha256, item.origin))
    doubled = in_another_class(ordered)
    quarantined = {refusal.origin for refusal in doubled}
    accepted = [item for item in ordered if item.origin not in quarantined]
    groups, joined = _groups(accepted, group_by, ingest.near_duplicate_bits)
    every_refusal = sorted([*refused, *doubled], key=lambda refusal: refusal.origin)
    places = {item.origin: Place(split_of(group, split), group) for item, group in zip(accepted, groups, strict=True)}
    summary = _summary(accepted, groups, every_refusal, ingest.max_bad_share) | joined
    return Plan(places=places, refused=every_refusal, summary={**summary, "by_split": _by_split(places.values())})


def in_another_class(items: Sequence[Item]) -> list[Refusal]:
    """Returns a refusal for every item whose very bytes lie under another label too: none of the labels can be trusted.

    Args:
        items: all that are readable.
    """
    by_content: dict[str, list[Item]] = collections.defaultdict(list)
    for item in items:
        by_content[item.sha256].append(item)
    found = []
    for copies in by_content.values():
        for item in copies:
            other = next((copy for copy in copies if copy.label != item.label), None)
            if other is not None:
                detail = f"the same bytes are {other.origin}, of class {other.label}"
                found.append(_refusal(item, detail))
    return found


def _refusal(item: Item, detail: str) -> Refusal:
    return Refusal(
        origin=item.origin,
        reason="duplicate in another class",
        detail=detail,
        bytes=item.content_bytes,
        sha256=item.sha256,
    )


def _groups(items: Sequence[Item], group_by: str, bits: int) -> tuple[list[str], dict[str, int]]:
    """The split unit of each item, and what the summary says of how they came about.

    Args:
        items: sorted, so that a group by content is named by its smallest SHA-256.
        group_by: as `make_plan` takes it.
        bits: as `clusters` takes them.
    """
    if group_by == BY_CONTENT:
        return [items[root].sha256 for root in _look_alikes(items, bits, with_flat=True)], {}
    names, own = np.unique([item.group or item.sha256 for item in items], return_inverse=True)
    united = np.arange(len(names))
    join(united, own, own[_look_alikes(items, bits, with_flat=False)])
    joined = int(np.sum(np.bincount(united, minlength=1)[united] > 1))
    return names[united[own]].tolist(), {"groups_joined": joined}


def _look_alikes(items: Sequence[Item], bits: int, *, with_flat: bool) -> npt.NDArray[np.intp]:
    """The place of the first item of the cluster that each is in; a flat one may be left a cluster of its own."""
    roots = np.arange(len(items), dtype=np.intp)
    pictures = np.array([place for place, item in enumerate(items) if item.perceptual_hash and item.thumbnail], np.intp)
    if not len(pictures):
        return roots
    hashes = np.array([int(items[place].perceptual_hash, 16) for place in pictures], np.uint64)
    levels = np.frombuffer(b"".join(items[place].thumbnail for place in pictures), np.uint8)
    thumbnails = levels.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX, 3)
    kept = np.flatnonzero(with_flat | (contrast(thumbnails) >= FLAT_LEVELS))
    pictures = pictures[kept]
    roots[pictures] = pictures[clusters(hashes[kept], thumbnails[kept], bits)]
    return roots


def _summary(items: Sequence[Item], groups: Sequence[str], refused: Sequence[Refusal], limit: float) -> dict[str, Any]:
    read = len(items) + len(refused)
    sizes = collections.Counter(groups)
    reasons = collections.Counter(str(refusal.reason) for refusal in refused)
    return {
        "items_read": read,
        "accepted": len(items),
        "refused": len(refused),
        "bad_share": len(refused) / read if read else 0.0,
        "max_bad_share": limit,
        "by_reason": dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
        "by_class": dict(sorted(collections.Counter(item.label for item in items).items())),
        "groups": len(sizes),
        "groups_of_two_or_more": sum(size > 1 for size in sizes.values()),
        "largest_group": max(sizes.values(), default=0),
    }


def _by_split(places: Iterable[Place]) -> dict[str, int]:
    counts = collections.Counter(place.split for place in places)
    return {split: counts[split] for split in features.SPLITS}
