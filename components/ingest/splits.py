"""Which split an item goes to: a pure function of its group and the settings, never of its place in a list."""

from __future__ import annotations

import hashlib

from applications.settings import SplitSettings
from schemas import features

_UNITS = 2**64


def share_of(group: str, seed: int) -> float:
    """Returns where a group lies between 0 and 1, evenly spread over groups and fixed for a seed.

    Args:
        group: the group's key.
        seed: another seed deals all groups anew.

    Returns:
        From 0 to below 1; the same on every machine and in every Python process.
    """
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (_UNITS >> 11)


def split_of(group: str, settings: SplitSettings) -> str:
    """Returns the split of a group: "train", "validation" or "test".

    The answer depends on the group's key and the settings alone, so data added later move nothing
    that was there before.

    Args:
        group: the group's key; everything with the same key lands in the same split.
        settings: fractions of the groups, and the seed.
    """
    share = share_of(group, settings.seed)
    if share < settings.train:
        return features.TRAIN
    return features.VALIDATION if share < settings.train + settings.validation else features.TEST
