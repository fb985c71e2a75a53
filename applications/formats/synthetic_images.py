"""Writes a folder of synthetic images whose truth is known: classes, nuisance, damaged files, near-duplicates.

An application brings a `World` that draws its classes; everything else is the same for all.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from applications import progress
from applications.errors import ConfigError, OutputError
from applications.formats.damaged_images import damaged_image, encode
from applications.formats.nuisance import NuisanceRanges, draw_nuisance, photograph, to_image
from applications.formats.synthetic_plan import ALTERATIONS, LEAST_PER_CLASS, Entry, class_counts, plan_files
from applications.spec import Application

TRUTH = "truth.json"
_MARGIN_PX = 2  # a scene is drawn larger on every side, so that a copy can be shifted
_REPORT_EVERY = 200  # files


@dataclasses.dataclass(frozen=True)
class Scene:
    """One drawn scene: float32 `[px, px, 3]`, 0 to 1, and whatever of its making is worth recording."""

    rgb: npt.NDArray[np.float32]
    truth: Mapping[str, Any]


class World(Protocol):
    """Draws the scenes of one application."""

    @property
    def size_px(self) -> int:
        """Height and width of every image, pixels."""
        ...

    @property
    def shares(self) -> Mapping[str, float]:
        """How common each class is, any scale."""
        ...

    @property
    def nuisance(self) -> NuisanceRanges:
        """What changes the look but not the class."""
        ...

    def draw(self, label: str, size_px: int, rng: np.random.Generator) -> Scene:
        """Draws one scene of a class, `[size_px, size_px, 3]`."""
        ...


def write_world(application: Application, world: World, out_dir: str, *, items: int, seed: int) -> None:
    """Writes `<class>/<class>_<number>.jpg` and, when all are there, `truth.json`.

    Args:
        application: whose classes are drawn.
        world: how they are drawn.
        out_dir: a new or empty folder.
        items: number of files in all, damaged ones included; at least 4 per class.
        seed: 0 or above; the same seed gives the same bytes.

    Raises:
        ConfigError: too few items, or a negative seed.
        OutputError: the folder holds something already.
    """
    least = LEAST_PER_CLASS * len(application.classes)
    if items < least:
        raise ConfigError(f"items must be at least {least} ({LEAST_PER_CLASS} per class), got {items}.")
    if seed < 0:
        raise ConfigError(f"seed must be 0 or above, got {seed}.")
    folder = Path(out_dir)
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(
            f"synthetic data need a new or empty folder, but {out_dir!r} holds files. Give another folder."
        )
    shares = {name: world.shares[name] for name in application.classes}
    truth = {"version": 1, "application": application.name, "seed": seed, "items": items}
    truth |= {"classes": class_counts(shares, items)}
    truth |= _Writer(world, folder, seed).write(plan_files(shares, items, seed))
    (folder / TRUTH).write_text(json.dumps(truth, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class _Writer:
    """Writes one world into a folder and remembers the truth."""

    def __init__(self, world: World, folder: Path, seed: int) -> None:
        self._world = world
        self._folder = folder
        self._seed = seed
        self._files: dict[str, dict[str, Any]] = {}
        self._damaged: list[dict[str, Any]] = []
        self._clusters: dict[str, list[str]] = {}

    def write(self, entries: list[Entry]) -> dict[str, Any]:
        """Writes every file and returns what is true of them."""
        for done, entry in enumerate(entries, start=1):
            if entry.role == "damaged":
                self._write_damaged(entry)
            elif entry.role == "double":
                self._write_double(entry, entries)
            else:
                self._write_scene(entry)
            if done % _REPORT_EVERY == 0 or done == len(entries):
                progress.report("items", done=done, total=len(entries))
        clusters = [sorted(members) for members in self._clusters.values() if len(members) > 1]
        damaged = sorted(self._damaged, key=lambda one: str(one["origin"]))
        return {"files": self._files, "damaged": damaged, "clusters": clusters}

    def _write_scene(self, entry: Entry) -> None:
        data, truth = self._encoded(entry)
        origin = self._put(entry, ".jpg", data)
        name = f"{entry.scene_label}/{entry.scene}"
        self._files[origin] = {"label": entry.label, "scene": name, "alteration": entry.alteration, **truth}
        self._clusters.setdefault(name, []).append(origin)

    def _write_damaged(self, entry: Entry) -> None:
        rng = self._rng(entry)
        nuisance = draw_nuisance(self._world.nuisance, rng)
        scene = self._world.draw(entry.label, self._world.size_px, rng)
        damaged = damaged_image(to_image(photograph(scene.rgb, nuisance, rng)), rng, entry.turn)
        origin = self._put(entry, damaged.extension, damaged.data)
        self._damaged.append({"origin": origin, "reason": damaged.reason, "kind": damaged.kind})

    def _write_double(self, entry: Entry, entries: list[Entry]) -> None:
        """Puts the bytes of another class's scene here too: neither of the two labels can be trusted then."""
        twin = next(one for one in entries if (one.label, one.role, one.scene) == (entry.scene_label, "scene", 0))
        origins = [_origin(twin, ".jpg"), self._put(entry, ".jpg", self._encoded(twin)[0])]
        known = {one["origin"] for one in self._damaged}
        for origin in origins:
            if origin not in known:
                kind = f"the same bytes in two classes: {origins[0]} and {origins[1]}"
                self._damaged.append({"origin": origin, "reason": "duplicate in another class", "kind": kind})

    def _encoded(self, entry: Entry) -> tuple[bytes, dict[str, Any]]:
        """Draws, photographs and stores a scene, or the altered copy of one."""
        rng = self._rng(entry)
        size_px = self._world.size_px
        nuisance = draw_nuisance(self._world.nuisance, rng)
        scene = self._world.draw(entry.scene_label, size_px + 2 * _MARGIN_PX, rng)
        seen = photograph(scene.rgb, nuisance, rng)
        left_px = _MARGIN_PX + (entry.alteration == ALTERATIONS[0])
        seen = seen[_MARGIN_PX : _MARGIN_PX + size_px, left_px : left_px + size_px]
        if entry.alteration == ALTERATIONS[2]:
            seen = seen * 1.06 + 0.02
        quality = nuisance.quality - 5 if entry.alteration else nuisance.quality
        data = encode(to_image(seen), "JPEG", quality=quality)
        return data, {"nuisance": dataclasses.asdict(nuisance), "drawn": dict(scene.truth)}

    def _rng(self, entry: Entry) -> np.random.Generator:
        """The same for all copies of a scene, and independent of how many items there are."""
        role = 1 if entry.role == "damaged" else 0
        return np.random.default_rng([self._seed, zlib.crc32(entry.scene_label.encode()), role, entry.scene])

    def _put(self, entry: Entry, extension: str, data: bytes) -> str:
        origin = _origin(entry, extension)
        file = self._folder / origin
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return origin


def _origin(entry: Entry, extension: str) -> str:
    return f"{entry.label}/{entry.label}_{entry.number}{extension}"
