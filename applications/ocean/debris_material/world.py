"""The synthetic world of debris: one object of each material, by its look, on a light board."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from applications.formats.canvas import Canvas, Colour, Plane, band, cells, varied
from applications.formats.nuisance import NuisanceRanges
from applications.formats.synthetic_images import Scene

BOARD: Colour = (0.80, 0.79, 0.76)
KRAFT: Colour = (0.64, 0.50, 0.36)
WHITE: Colour = (0.94, 0.94, 0.92)
INK: Colour = (0.25, 0.25, 0.28)
SILVER: Colour = (0.62, 0.63, 0.65)
PRINTS: tuple[Colour, ...] = ((0.75, 0.2, 0.2), (0.2, 0.35, 0.7), (0.2, 0.55, 0.35), (0.85, 0.7, 0.2), (0.5, 0.3, 0.6))
BOTTLE_GLASS: tuple[Colour, ...] = ((0.35, 0.48, 0.36), (0.42, 0.30, 0.18), (0.66, 0.72, 0.72))


def cardboard(canvas: Canvas) -> dict[str, Any]:
    """A flat panel with folds and the fine ribs of its flutes."""
    rng = canvas.rng
    long_px, wide_px = _sizes(canvas, (0.30, 0.48), (0.24, 0.42))
    panel = _box(canvas, long_px, wide_px)
    _shadow(canvas, panel)
    canvas.paint(panel, varied(KRAFT, rng, 0.05))
    ribs = np.sin(canvas.along * np.float32(2 * np.pi / rng.uniform(2.6, 3.6)))
    canvas.shade(ribs * panel * 0.035)
    folds = int(rng.integers(1, 4))
    for at in rng.uniform(-0.8, 0.8, folds) * wide_px:
        canvas.shade(band(canvas.across - at, 0.8) * panel * -0.15)
        canvas.shade((canvas.across > at) * panel * np.float32(rng.normal(0, 0.05)))
    return {"folds": folds}


def glass(canvas: Canvas) -> dict[str, Any]:
    """A bottle that lets the board shine through, with dark rims and thin bright reflections."""
    rng = canvas.rng
    long_px, wide_px = _sizes(canvas, (0.34, 0.46), (0.11, 0.18))
    body, depth = _bottle(canvas, long_px, wide_px)
    tint = varied(BOTTLE_GLASS[int(rng.integers(3))], rng)
    canvas.paint(body * 0.55, tint)
    canvas.paint(body * np.clip(1 - depth / 2.4, 0, 1) * 0.7, varied((0.14, 0.16, 0.14), rng))
    for at in rng.uniform(-0.65, 0.65, 2) * wide_px:
        canvas.paint(band(canvas.across - at, 0.5) * body * np.clip(depth - 2, 0, 1), WHITE)
    return {"bottle_length_px": round(2 * long_px, 1)}


def metal(canvas: Canvas) -> dict[str, Any]:
    """A can: smooth bands of light along its length, dark seams at both ends, often printed and dented."""
    rng = canvas.rng
    long_px, wide_px = _sizes(canvas, (0.22, 0.32), (0.13, 0.20))
    can = _box(canvas, long_px, wide_px)
    _shadow(canvas, can)
    canvas.paint(can, varied(SILVER, rng, 0.04))
    is_printed = canvas.chance(0.6)
    if is_printed:
        print_on = np.clip(long_px * 0.78 - np.abs(canvas.along), 0, 1) * can
        canvas.paint(print_on * 0.75, varied(PRINTS[int(rng.integers(5))], rng))
    round_off = canvas.across / wide_px
    bands = np.cos(round_off * np.float32(rng.uniform(5, 8)) + np.float32(rng.uniform(0, 6)))
    canvas.shade((bands * 0.16 - round_off**2 * 0.18) * can)
    canvas.shade(canvas.noise(8) * 0.04 * can)
    for end in (-long_px * 0.84, long_px * 0.84):
        canvas.shade(band(canvas.along - end, 0.9) * can * -0.25)
    return {"is_printed": is_printed}


def paper(canvas: Canvas) -> dict[str, Any]:
    """A pale sheet with lines of print and creases."""
    rng = canvas.rng
    long_px, wide_px = _sizes(canvas, (0.30, 0.46), (0.24, 0.38))
    sheet = _box(canvas, long_px, wide_px)
    _shadow(canvas, sheet)
    canvas.paint(sheet, varied(WHITE, rng, 0.03))
    pitch_px = rng.uniform(4.0, 6.5)
    line, off_line = cells(canvas.across, pitch_px)
    word, _ = cells(canvas.along, 2.5)
    inked = canvas.chances(0.72, 64, 64)[line, word] & (np.abs(canvas.along) < long_px * 0.8)
    canvas.paint(band(off_line, pitch_px * 0.14) * inked * sheet * 0.8, varied(INK, rng))
    creases = canvas.noise(18)
    canvas.shade((creases - np.roll(creases, (3, 3), (0, 1))) * 0.10 * sheet)
    return {"line_pitch_px": round(pitch_px, 2)}


def plastic(canvas: Canvas) -> dict[str, Any]:
    """A ribbed bottle, pale and opaque at the label, with a bright cap."""
    rng = canvas.rng
    long_px, wide_px = _sizes(canvas, (0.34, 0.46), (0.13, 0.20))
    body, depth = _bottle(canvas, long_px, wide_px)
    _shadow(canvas, body)
    canvas.paint(body * 0.8, varied((0.78, 0.84, 0.88), rng, 0.04))
    ribs = np.sin(canvas.along * np.float32(2 * np.pi / rng.uniform(4.0, 5.5)))
    canvas.shade(ribs * body * np.clip(depth, 0, 1) * 0.09)
    bright = varied(PRINTS[int(rng.integers(5))], rng)
    canvas.paint(body * band(canvas.along + long_px * 0.2, long_px * 0.24), bright)
    canvas.paint(band(canvas.along - long_px, long_px * 0.09) * band(canvas.across, wide_px * 0.42), bright)
    return {"bottle_length_px": round(2 * long_px, 1)}


def trash(canvas: Canvas) -> dict[str, Any]:
    """Whatever is left: a ragged crumpled lump of several prints and torn edges."""
    rng = canvas.rng
    radius_px = canvas.px * rng.uniform(0.2, 0.36)
    edge = np.hypot(canvas.along, canvas.across * rng.uniform(1.0, 1.6)) + canvas.noise(14) * 4
    lump = np.clip((radius_px - edge) + 0.5, 0, 1)
    _shadow(canvas, lump)
    canvas.paint(lump, varied(WHITE, rng, 0.1))
    prints = int(rng.integers(2, 4))
    for place in range(prints):
        canvas.paint(np.clip((canvas.noise(9) - 0.4) * 3, 0, 1) * lump, varied(PRINTS[(place * 2) % 5], rng, 0.08))
    crumple = canvas.noise(4)
    canvas.shade((np.abs(crumple) - np.abs(np.roll(crumple, (2, 2), (0, 1)))) * 0.16 * lump)
    return {"prints": prints}


RECIPES: Mapping[str, Callable[[Canvas], dict[str, Any]]] = {
    "cardboard": cardboard,
    "glass": glass,
    "metal": metal,
    "paper": paper,
    "plastic": plastic,
    "trash": trash,
}

SHARES: Mapping[str, float] = {
    "cardboard": 3.0,
    "glass": 3.7,
    "metal": 3.0,
    "paper": 4.4,
    "plastic": 3.6,
    "trash": 1.4,
}


@dataclasses.dataclass(frozen=True)
class DebrisWorld:
    """Photographs of 96 by 96 pixels; the most common material is about three times the rarest."""

    size_px: int = 96
    shares: Mapping[str, float] = dataclasses.field(default_factory=lambda: SHARES)
    nuisance: NuisanceRanges = NuisanceRanges(mean_luma=(0.4, 0.7), haze=(0.0, 0.2), warmth=0.04, own_colour=0.3)

    def draw(self, label: str, size_px: int, rng: np.random.Generator) -> Scene:
        """Draws one photograph, float32 `[size_px, size_px, 3]`."""
        canvas = Canvas(size_px, varied(BOARD, rng), rng)
        canvas.shade(canvas.noise(40) * 0.02)
        shift_px = rng.uniform(-0.1, 0.1, 2) * size_px
        canvas.along += np.float32(shift_px[0])
        canvas.across += np.float32(shift_px[1])
        truth = RECIPES[label](canvas)
        return Scene(canvas.finished(), truth)


def _sizes(canvas: Canvas, long: tuple[float, float], wide: tuple[float, float]) -> tuple[float, float]:
    """Half the length and half the width of an object, pixels, from ranges in shares of the picture."""
    return canvas.px * canvas.rng.uniform(*long), canvas.px * canvas.rng.uniform(*wide)


def _box(canvas: Canvas, long_px: float, wide_px: float) -> Plane:
    """A rectangle in the turned coordinates with half sides of so many pixels."""
    return band(canvas.along, long_px) * band(canvas.across, wide_px)


def _bottle(canvas: Canvas, long_px: float, wide_px: float) -> tuple[Plane, Plane]:
    """A body that narrows to a neck: how much of each fine pixel it covers, and the depth below its rim, pixels."""
    shoulder = np.clip((canvas.along / long_px - 0.25) / 0.3, 0, 1)
    half = wide_px * (1 - 0.62 * shoulder * shoulder * (3 - 2 * shoulder))
    depth = np.minimum(half - np.abs(canvas.across), long_px - np.abs(canvas.along))
    return np.asarray(np.clip(depth + 0.5, 0, 1), np.float32), np.asarray(depth, np.float32)


def _shadow(canvas: Canvas, covered: Plane) -> None:
    """Darkens the board beside an object, as lamp light from one side does."""
    canvas.shade(np.clip(np.roll(covered, (5, 5), (0, 1)) - covered, 0, 1) * np.float32(-0.22))
