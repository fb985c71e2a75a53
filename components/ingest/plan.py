"""Decides, from a few facts on every item, who is refused, who belongs together and which split each goes to."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from applications.formats.perceptual import THUMBNAIL_PX
from applications.formats.refusal import Refusal
from applications.settings import IngestSettings, SplitSettings
from components.ingest.duplicates import clusters
from components.ingest.splits import split_of
from schemas import features

BY_CONTENT = "content"  # the `group_by` of applications whose split unit is the near-duplicate cluster


class Fact(NamedTuple):
    """What the plan needs to know of one readable item."""

    origin: str
    sha256: str
    label: str
    group: str  # "" where the source knows none
    perceptual_hash: str  # 16 hexadecimal digits; "" where the item is not an image
    thumbnail: bytes  # 8 by 8 by 3 levels; b"" where the item is not an image
    item_bytes: int  # size of the file


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
    facts: Iterable[Fact], refused: Iterable[Refusal], group_by: str, ingest: IngestSettings, split: SplitSettings
) -> Plan:
    """Plans an ingest; the answer does not depend on the order of the facts.

    Args:
        facts: of every readable item.
        refused: items the source could not read.
        group_by: "content" groups near-duplicates; any other word keeps the source's groups.
        ingest: how near a near-duplicate is, and the limit on bad items.
        split: fractions and seed.
    """
    ordered = sorted(facts, key=lambda fact: (fact.sha256, fact.origin))
    doubled = in_another_class(ordered)
    quarantined = {refusal.origin for refusal in doubled}
    accepted = [fact for fact in ordered if fact.origin not in quarantined]
    groups = _groups(accepted, group_by, ingest.near_duplicate_bits)
    every_refusal = sorted([*refused, *doubled], key=lambda refusal: refusal.origin)
    places = {fact.origin: Place(split_of(group, split), group) for fact, group in zip(accepted, groups, strict=True)}
    summary = _summary(accepted, groups, every_refusal, ingest.max_bad_share)
    return Plan(places=places, refused=every_refusal, summary={**summary, "by_split": _by_split(places.values())})


def in_another_class(facts: Sequence[Fact]) -> list[Refusal]:
    """Returns a refusal for every item whose very bytes lie under another label too: none of the labels can be trusted.

    Args:
        facts: of the readable items.
    """
    by_content: dict[str, list[Fact]] = collections.defaultdict(list)
    for fact in facts:
        by_content[fact.sha256].append(fact)
    found = []
    for copies in by_content.values():
        for fact in copies:
            other = next((copy for copy in copies if copy.label != fact.label), None)
            if other is not None:
                detail = f"the same bytes are {other.origin}, of class {other.label}"
                found.append(_refusal(fact, detail))
    return found


def _refusal(fact: Fact, detail: str) -> Refusal:
    return Refusal(
        origin=fact.origin,
        reason="duplicate in another class",
        detail=detail,
        bytes=fact.item_bytes,
        sha256=fact.sha256,
    )


def _groups(facts: Sequence[Fact], group_by: str, bits: int) -> list[str]:
    """The split unit of each fact; facts come sorted, so that a content group is named by its smallest SHA-256."""
    if group_by != BY_CONTENT:
        return [fact.group or fact.sha256 for fact in facts]
    groups = [fact.sha256 for fact in facts]
    pictures = [place for place, fact in enumerate(facts) if fact.perceptual_hash and fact.thumbnail]
    if not pictures:
        return groups
    hashes = np.array([int(facts[place].perceptual_hash, 16) for place in pictures], np.uint64)
    levels = np.frombuffer(b"".join(facts[place].thumbnail for place in pictures), np.uint8)
    roots = clusters(hashes, levels.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX, 3), bits)
    for place, root in zip(pictures, roots.tolist(), strict=True):
        groups[place] = facts[pictures[root]].sha256
    return groups


def _summary(facts: Sequence[Fact], groups: Sequence[str], refused: Sequence[Refusal], limit: float) -> dict[str, Any]:
    read = len(facts) + len(refused)
    sizes = collections.Counter(groups)
    reasons = collections.Counter(str(refusal.reason) for refusal in refused)
    return {
        "items_read": read,
        "accepted": len(facts),
        "refused": len(refused),
        "bad_share": len(refused) / read if read else 0.0,
        "max_bad_share": limit,
        "by_reason": dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
        "by_class": dict(sorted(collections.Counter(fact.label for fact in facts).items())),
        "groups": len(sizes),
        "groups_of_two_or_more": sum(size > 1 for size in sizes.values()),
        "largest_group": max(sizes.values(), default=0),
    }


def _by_split(places: Iterable[Place]) -> dict[str, int]:
    counts = collections.Counter(place.split for place in places)
    return {split: counts[split] for split in features.SPLITS}
