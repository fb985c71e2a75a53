"""Draws the five classes that grow: annual and permanent crops, forest, scrub, pasture."""

from __future__ import annotations

from typing import Any

import numpy as np

from applications.formats.canvas import Canvas, Colour, cells, varied

SOIL: Colour = (0.46, 0.37, 0.29)
CROP: Colour = (0.30, 0.42, 0.22)
RIPE: Colour = (0.60, 0.54, 0.36)
GRASS: Colour = (0.33, 0.43, 0.25)
CANOPY: Colour = (0.17, 0.26, 0.17)
SCRUB: Colour = (0.36, 0.38, 0.26)
SHADOW: Colour = (0.09, 0.12, 0.11)

FIELD_COLOURS = (SOIL, CROP, RIPE, GRASS)


def annual_crop(canvas: Canvas) -> dict[str, Any]:
    """A few large parcels of different crops, each with fine parallel drill rows."""
    rng = canvas.rng
    parcel, border = canvas.parcels(least_px=14, most=int(rng.integers(2, 6)))
    parcels = int(parcel.max()) + 1
    canvas.paint_parcels(parcel, [varied(FIELD_COLOURS[int(rng.integers(4))], rng, 0.05) for _ in range(parcels)])
    period_px = rng.uniform(2.6, 4.2)
    crosswise = rng.integers(0, 2, parcels).astype(bool)[parcel]
    rows = np.where(crosswise, canvas.along, canvas.across) * np.float32(2 * np.pi / period_px)
    strength = rng.uniform(0.03, 0.07, parcels).astype(np.float32)[parcel]
    canvas.shade(np.sin(rows) * strength)
    canvas.shade(canvas.noise(12) * 0.012)
    canvas.paint(np.clip(1.0 - border, 0, 1), varied(SOIL, rng))
    return {"parcels": parcels, "row_period_px": round(period_px, 2)}


def permanent_crop(canvas: Canvas) -> dict[str, Any]:
    """Orchards and vineyards: trees on a square grid, dark dots on bright soil."""
    rng = canvas.rng
    canvas.fill(varied(RIPE if canvas.chance(0.5) else SOIL, rng, 0.04))
    canvas.shade(canvas.noise(16) * 0.02)
    parcel, border = canvas.parcels(least_px=20, most=int(rng.integers(1, 4)))
    pitch_px = rng.uniform(4.2, 6.5)
    tree_px = pitch_px * rng.uniform(0.30, 0.38)
    shift = rng.uniform(0, pitch_px, (2, 8)).astype(np.float32)
    row, off_row = cells(canvas.along + shift[0][parcel], pitch_px)
    tree, off_tree = cells(canvas.across + shift[1][parcel], pitch_px)
    stands = canvas.chances(0.93, 64, 64)[row, tree]
    distance = np.hypot(off_row, off_tree)
    canvas.paint(np.clip(tree_px + 0.5 - distance, 0, 1) * stands, varied(CANOPY, rng))
    canvas.paint(np.clip(1.2 - border, 0, 1), varied(RIPE, rng))
    return {"tree_pitch_px": round(pitch_px, 2), "parcels": int(parcel.max()) + 1}


def forest(canvas: Canvas) -> dict[str, Any]:
    """A closed canopy: crowns of one size side by side, lit from one side, no parcels."""
    rng = canvas.rng
    canvas.fill(varied(CANOPY, rng, 0.02))
    crown_px = rng.uniform(2.0, 3.2)
    crowns = canvas.noise(crown_px)
    lit = np.roll(crowns, (2, 2), (0, 1)) - crowns
    canvas.shade(crowns * 0.022 + lit * 0.016)
    canvas.shade(canvas.noise(24) * 0.014)
    return {"crown_px": round(crown_px, 2)}


def herbaceous_vegetation(canvas: Canvas) -> dict[str, Any]:
    """Open scrub: ragged patches of bushes of every size on pale ground."""
    rng = canvas.rng
    canvas.fill(varied(SCRUB, rng, 0.04))
    canvas.shade(canvas.noise(20) * 0.03)
    ragged = canvas.noise(9) + 0.7 * canvas.noise(4.5) + 0.5 * canvas.noise(2.4)
    cover = rng.uniform(-0.1, 0.7)
    bushes = np.clip((ragged - cover) * 1.8, 0, 1)
    canvas.paint(bushes * 0.85, varied(CANOPY, rng))
    canvas.paint(np.clip((-ragged - 1.5) * 2, 0, 1) * 0.6, varied(RIPE, rng))
    canvas.shade(canvas.noise(1.8) * 0.012)
    return {"bush_share": round(float(bushes.mean()), 3)}


def pasture(canvas: Canvas) -> dict[str, Any]:
    """Smooth meadows with soft wet patches, a hedge or two and single trees."""
    rng = canvas.rng
    canvas.fill(varied(GRASS, rng, 0.03))
    canvas.shade(canvas.noise(rng.uniform(18, 30)) * rng.uniform(0.018, 0.035))
    parcel, border = canvas.parcels(least_px=22, most=int(rng.integers(2, 4)))
    canvas.shade(rng.normal(0, 0.02, 4).astype(np.float32)[parcel])
    hedge = np.clip(1.3 - border, 0, 1) * np.clip(canvas.noise(5) * 3 + 2.3, 0, 1)
    canvas.paint(hedge * 0.8, varied(CANOPY, rng))
    trees = int(rng.integers(2, 9))
    for _ in range(trees):
        along, across = rng.uniform(-canvas.px / 2, canvas.px / 2, 2)
        canvas.spot(along, across, rng.uniform(1.1, 1.9), varied(CANOPY, rng))
    return {"trees": trees}


def countryside(canvas: Canvas) -> None:
    """What lies beside a road or a river: plain fields, a wood, meadows; never with rows or grids."""
    rng = canvas.rng
    parcel, _ = canvas.parcels(least_px=12, most=int(rng.integers(2, 7)))
    parcels = int(parcel.max()) + 1
    is_wood = canvas.chances(0.3, parcels)
    grounds = [CANOPY if wooded else FIELD_COLOURS[int(rng.integers(4))] for wooded in is_wood]
    canvas.paint_parcels(parcel, [varied(ground, rng, 0.04) for ground in grounds])
    canvas.shade(canvas.noise(2.6) * np.where(is_wood, 0.025, 0).astype(np.float32)[parcel])
    canvas.shade(canvas.noise(14) * 0.015)
