"""Draws the five classes that people built or water made: roads, works, houses, rivers, open water."""

from __future__ import annotations

from typing import Any

import numpy as np

from applications.formats.canvas import Canvas, Colour, band, cells, parcel_colours, varied
from applications.satellite.landcover.vegetation import CANOPY, GRASS, SHADOW, countryside

WATER: Colour = (0.11, 0.20, 0.29)
SAND: Colour = (0.66, 0.60, 0.48)
ASPHALT: Colour = (0.40, 0.40, 0.42)
CONCRETE: Colour = (0.64, 0.63, 0.60)
TILES: Colour = (0.60, 0.40, 0.33)
SLATE: Colour = (0.45, 0.46, 0.50)
SHEET_METAL: Colour = (0.88, 0.89, 0.90)


def highway(canvas: Canvas) -> dict[str, Any]:
    """A straight or gently curved dual carriageway, its median and a slip road, through the country."""
    rng = canvas.rng
    countryside(canvas)
    bend = rng.normal(0, 0.004)
    line = canvas.across - rng.uniform(-12, 12) - bend * canvas.along**2
    half_px = rng.uniform(2.2, 3.4)
    surface = varied(CONCRETE if canvas.chance(0.6) else ASPHALT, rng, 0.05)
    verge = varied(GRASS, rng)
    has_slip_road = canvas.chance(0.6)
    if has_slip_road:
        fork = rng.uniform(-15, 15)
        away = line - rng.choice([-1, 1]) * 0.02 * np.clip(canvas.along - fork, 0, None) ** 2
        canvas.paint(band(away, 1.0), surface)
    if canvas.chance(0.4):
        canvas.paint(band(canvas.along - rng.uniform(-20, 20), 0.9), varied(ASPHALT, rng))
    canvas.paint(band(line, half_px + 1.2) * 0.7, verge)
    canvas.paint(band(line, half_px), surface)
    canvas.paint(band(line, 0.45), verge)
    lane, _ = cells(canvas.along, 2.0)
    cars = canvas.chances(0.12, 64)[lane] * band(np.abs(line) - np.float32(half_px / 2), 0.3)
    canvas.paint(cars, (0.9, 0.9, 0.9) if canvas.chance(0.5) else (0.15, 0.15, 0.18))
    return {"half_width_px": round(half_px, 2), "has_slip_road": has_slip_road}


def industrial(canvas: Canvas) -> dict[str, Any]:
    """A few large halls with hard edges and shadows on paved yards."""
    rng = canvas.rng
    canvas.fill(varied(ASPHALT, rng, 0.05))
    canvas.shade(canvas.noise(10) * 0.02)
    parcel, border = canvas.parcels(least_px=11, most=int(rng.integers(6, 13)))
    parcels = int(parcel.max()) + 1
    inset_px = rng.uniform(1.5, 3.0, parcels).astype(np.float32)[parcel]
    is_hall = canvas.chances(0.75, parcels)
    halls = np.clip(border - inset_px + 0.5, 0, 1) * is_hall[parcel]
    canvas.paint(np.clip(np.roll(halls, (3, 3), (0, 1)) - halls, 0, 1) * 0.75, SHADOW)
    roofs = [varied((SHEET_METAL, SHEET_METAL, CONCRETE, SLATE)[int(rng.integers(4))], rng, 0.05) for _ in is_hall]
    canvas.paint(halls, parcel_colours(parcel, roofs))
    _, off_seam = cells(canvas.along, rng.uniform(4, 7))
    canvas.shade(band(off_seam, 0.4) * -0.05 * halls)
    return {"halls": int(is_hall.sum())}


def residential(canvas: Canvas) -> dict[str, Any]:
    """Streets in a grid with rows of small houses and gardens between."""
    rng = canvas.rng
    canvas.fill(varied(GRASS, rng, 0.03))
    canvas.paint(np.clip(canvas.noise(2.6) - 0.4, 0, 1) * 0.8, varied(CANOPY, rng))
    street_px = rng.uniform(13, 18)
    warped = canvas.across + canvas.noise(30) * 0.8
    block, off_street = cells(warped, street_px)
    plot_px = rng.uniform(3.8, 5.0)
    plot, off_plot = cells(canvas.along + np.where(block % 2 == 0, 1.7, 0).astype(np.float32), plot_px)
    side = (off_street > 0).astype(np.intp)
    size = rng.uniform(0.9, 1.5, (64, 64, 2)).astype(np.float32)[block, plot, side]
    stands = canvas.chances(0.88, 64, 64, 2)[block, plot, side]
    to_row = np.abs(np.abs(off_street) - street_px * 0.24)
    house = np.clip(size + 0.5 - to_row, 0, 1) * np.clip(size * 0.95 + 0.4 - np.abs(off_plot), 0, 1) * stands
    canvas.paint(np.clip(np.roll(house, (2, 2), (0, 1)) - house, 0, 1) * 0.6, SHADOW)
    roof = rng.normal(0, 0.08, (64, 64, 2)).astype(np.float32)[block, plot, side]
    canvas.paint(house, varied(TILES if canvas.chance(0.6) else SLATE, rng, 0.05))
    canvas.shade((roof + 0.05) * house)
    kerb_px = street_px / 2 - np.abs(off_street)
    canvas.paint(np.clip(1.4 - kerb_px, 0, 1), varied(ASPHALT, rng, 0.04))
    canvas.paint(band(canvas.along - rng.uniform(-25, 25), 1.1), varied(ASPHALT, rng, 0.04))
    return {"street_pitch_px": round(street_px, 2), "plot_px": round(plot_px, 2)}


def river(canvas: Canvas) -> dict[str, Any]:
    """A meandering band of smooth water with pale or wooded banks, through the country."""
    rng = canvas.rng
    countryside(canvas)
    swing_px, length_px = rng.uniform(4, 12), rng.uniform(45, 90)
    phase = rng.uniform(0, 2 * np.pi)
    middle = swing_px * np.sin(canvas.along * (2 * np.pi / length_px) + phase) + rng.uniform(-8, 8)
    half_px = rng.uniform(4.5, 9.0)
    line = canvas.across - middle + canvas.noise(16) * 0.8
    bank = varied(SAND if canvas.chance(0.45) else CANOPY, rng)
    canvas.paint(band(line, half_px + rng.uniform(0.8, 2.2)), bank)
    water = varied(WATER, rng)
    canvas.paint(band(line, half_px), water)
    return {"half_width_px": round(half_px, 2), "swing_px": round(swing_px, 2)}


def sea_lake(canvas: Canvas) -> dict[str, Any]:
    """Open water: nearly flat, faint swell and currents, now and then a corner of shore."""
    rng = canvas.rng
    canvas.fill(varied(WATER, rng))
    canvas.shade(canvas.noise(rng.uniform(25, 60)) * rng.uniform(0.002, 0.012))
    swell_px = rng.uniform(5, 9)
    phase = canvas.along * (2 * np.pi / swell_px) + canvas.noise(20) * 0.8
    canvas.shade(np.sin(phase).astype(np.float32) * rng.uniform(0.001, 0.004))
    has_shore = canvas.chance(0.25)
    if has_shore:
        inland = canvas.across - rng.uniform(20, 28) + canvas.noise(12) * 1.5
        canvas.paint(np.clip(inland + 0.5, 0, 1), varied(SAND, rng))
        canvas.paint(np.clip(inland - 2, 0, 1), varied(CANOPY if canvas.chance(0.5) else GRASS, rng))
    return {"has_shore": has_shore}
