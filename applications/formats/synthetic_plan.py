"""Decides what files a synthetic folder holds, before any is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

DAMAGED_SHARE = 0.025  # of all files: the damaged ones, and copies of a file in another class
COPIED_SHARE = 0.04  # of all files: near-duplicates of another one
LEAST_PER_CLASS = 4
ALTERATIONS = ("shifted by 1 pixel", "stored again", "brighter")

_DOUBLE_EVERY = 11  # every so many damaged files, one is a sound file that also lies in another class


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file to be written.

    Attributes:
        label: the class folder.
        number: in the file's name; unique in its class, and no hint to what the file is.
        role: a scene of its own, an altered copy of one, a damaged file, or the bytes of another class's scene.
        scene: which scene of `scene_label` it shows.
        scene_label: the class that was drawn; another one than `label` for a double.
        turn: counts the copies of a class, or the damaged files, so that kinds take turns.
    """

    label: str
    number: int
    role: Literal["scene", "copy", "damaged", "double"]
    scene: int
    scene_label: str
    turn: int = 0

    @property
    def alteration(self) -> str:
        """What sets a copy apart from its scene; "" for all else."""
        return ALTERATIONS[self.turn % len(ALTERATIONS)] if self.role == "copy" else ""


def class_counts(shares: Mapping[str, float], items: int) -> dict[str, int]:
    """Shares out the items.

    Args:
        shares: how common each class is, above 0, any scale.
        items: at least 4 per class.

    Returns:
        Files of each class, at least 4, `items` in all.
    """
    free = items - LEAST_PER_CLASS * len(shares)
    scale = free / sum(shares.values())
    exact = {name: share * scale for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_rest = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_rest[: free - sum(counts.values())]:
        counts[name] += 1
    return {name: count + LEAST_PER_CLASS for name, count in counts.items()}


def plan_files(shares: Mapping[str, float], items: int, seed: int) -> list[Entry]:
    """Lists every file of a synthetic folder, class by class.

    Args:
        shares: as `class_counts` takes them.
        items: number of files in all.
        seed: of the numbers in the names.
    """
    counts = class_counts(shares, items)
    classes = list(counts)
    rng = np.random.default_rng([seed, items])
    spoiled = int(items * DAMAGED_SHARE)
    planned = []
    for place, name in enumerate(classes):
        turns = range(place, spoiled, len(classes))[: counts[name] - LEAST_PER_CLASS + 1]
        copies = int((counts[name] - len(turns)) * COPIED_SHARE)
        numbers = iter((1 + rng.permutation(counts[name])).tolist())
        for scene in range(counts[name] - len(turns) - copies):
            planned.append(Entry(name, next(numbers), "scene", scene, name))
        for turn in range(copies):
            planned.append(Entry(name, next(numbers), "copy", 1 + turn // 2, name, turn))
        for turn in turns:
            if turn % _DOUBLE_EVERY == _DOUBLE_EVERY - 1:
                other = classes[(place + 1) % len(classes)]
                planned.append(Entry(name, next(numbers), "double", 0, other))
            else:
                planned.append(Entry(name, next(numbers), "damaged", turn, name, turn - turn // _DOUBLE_EVERY))
    return planned
