"""Holds the splits of a data set against each other: shared groups, look-alikes, class shares, and a leak probe."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from applications.formats.alike import Looks

Places = npt.NDArray[np.intp]
NAMED_AT_MOST = 20  # findings of a kind that are named; all are counted
_ROWS_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items:
    """What the audit knows of every item of every split; all sequences are as long as there are items.

    Attributes:
        hashes: uint64 `[items]`, perceptual hashes; None where the items are no images.
    """

    origins: Sequence[str]
    splits: Sequence[str]
    groups: Sequence[str]
    labels: Sequence[str]
    sha256: Sequence[str]
    hashes: npt.NDArray[np.uint64] | None

    def __len__(self) -> int:
        """Number of items."""
        return len(self.origins)


def candidate_pairs(items: Items, bits: int) -> Places:
    """Finds the pairs in different splits whose hashes differ in at most so many bits, by comparing all with all.

    It is not the way that ingest finds them, so that one cannot hide the other's mistake. A hundred thousand
    items take some ten seconds.

    Args:
        items: of all splits.
        bits: 0 to 63.

    Returns:
        intp `[pairs, 2]`, the smaller place first.
    """
    if items.hashes is None:
        return np.zeros((0, 2), np.intp)
    codes = np.unique(np.asarray(items.splits, dtype=np.str_), return_inverse=True)[1]
    found = [np.zeros((0, 2), np.intp)]
    for start in range(0, len(items), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        near = np.bitwise_count(items.hashes[rows, None] ^ items.hashes[None, start:]) <= bits
        near &= codes[rows, None] != codes[None, start:]
        pairs = np.argwhere(near) + start
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)


def alike_pairs(items: Items, pairs: Places, thumbnails: npt.NDArray[np.uint8], bits: int) -> Places:
    """Keeps the candidate pairs whose thumbnails confirm that they show the same scene.

    Args:
        items: of all splits.
        pairs: intp `[pairs, 2]`, from `candidate_pairs`.
        thumbnails: uint8 `[items, 8, 8, 3]`; those of items in no pair may be anything.
        bits: as for `candidate_pairs`.
    """
    if items.hashes is None or not len(pairs):
        return pairs
    members, where = np.unique(pairs, return_inverse=True)
    where = where.reshape(pairs.shape)
    looks = Looks(items.hashes[members], thumbnails[members])
    return pairs[looks.alike(where[:, 0], where[:, 1], bits)]


def findings(items: Items, pairs: Places) -> dict[str, Any]:
    """Describes what was found.

    Args:
        items: of all splits.
        pairs: intp `[pairs, 2]`, near-duplicates in different splits, from `alike_pairs`.

    Returns:
        The content of `audit.json` but for the probe.
    """
    shared = _shared_groups(items)
    return {
        "is_clean": not shared and not len(pairs),
        "groups_in_two_splits": shared[:NAMED_AT_MOST],
        "groups_in_two_splits_count": len(shared),
        "near_duplicates_across_splits": _named(items, pairs),
        "near_duplicates_across_splits_count": len(pairs),
        "splits": _shares(items),
        "largest_class_share_gap": largest_class_share_gap(items.splits, items.labels),
    }


def largest_class_share_gap(splits: Sequence[str], labels: Sequence[str]) -> float:
    """Returns by how much the share of any class in any split is off its share in all; 0 to 1.

    Args:
        splits: of each item.
        labels: of each item.
    """
    overall = collections.Counter(labels)
    of_split = collections.Counter(splits)
    counts = collections.Counter(zip(splits, labels, strict=True))
    gaps = [
        abs(counts[split, label] / size - overall[label] / len(labels))
        for split, size in of_split.items()
        for label in overall
    ]
    return max(gaps, default=0.0)


def _shared_groups(items: Items) -> list[dict[str, Any]]:
    seen: dict[str, set[str]] = collections.defaultdict(set)
    for group, split in zip(items.groups, items.splits, strict=True):
        seen[group].add(split)
    return [{"group": group, "splits": sorted(splits)} for group, splits in sorted(seen.items()) if len(splits) > 1]


def _named(items: Items, pairs: Places) -> list[dict[str, Any]]:
    if items.hashes is None or not len(pairs):
        return []
    bits = np.bitwise_count(items.hashes[pairs[:, 0]] ^ items.hashes[pairs[:, 1]])
    nearest = np.argsort(bits, kind="stable")[:NAMED_AT_MOST]
    return [
        {
            "a": {"origin": items.origins[pairs[place, 0]], "split": items.splits[pairs[place, 0]]},
            "b": {"origin": items.origins[pairs[place, 1]], "split": items.splits[pairs[place, 1]]},
            "bits": int(bits[place]),
        }
        for place in nearest
    ]


def _shares(items: Items) -> dict[str, Any]:
    classes = sorted(set(items.labels))
    groups: dict[str, set[str]] = collections.defaultdict(set)
    for split, group in zip(items.splits, items.groups, strict=True):
        groups[split].add(group)
    counts = collections.Counter(zip(items.splits, items.labels, strict=True))
    sizes = collections.Counter(items.splits)
    return {
        split: {
            "items": size,
            "groups": len(groups[split]),
            "classes": {label: counts[split, label] for label in classes},
        }
        for split, size in sizes.items()
    }
