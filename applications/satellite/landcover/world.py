"""The synthetic world of land cover: ten classes that differ by texture and shape, not by mean colour."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from applications.formats.canvas import Canvas
from applications.formats.nuisance import NuisanceRanges
from applications.formats.synthetic_images import Scene
from applications.satellite.landcover import built_and_water, vegetation

Recipe = Callable[[Canvas], dict[str, Any]]

RECIPES: Mapping[str, Recipe] = {
    "AnnualCrop": vegetation.annual_crop,
    "Forest": vegetation.forest,
    "HerbaceousVegetation": vegetation.herbaceous_vegetation,
    "Highway": built_and_water.highway,
    "Industrial": built_and_water.industrial,
    "Pasture": vegetation.pasture,
    "PermanentCrop": vegetation.permanent_crop,
    "Residential": built_and_water.residential,
    "River": built_and_water.river,
    "SeaLake": built_and_water.sea_lake,
}

SHARES: Mapping[str, float] = {
    "AnnualCrop": 3.0,
    "Forest": 3.0,
    "HerbaceousVegetation": 2.4,
    "Highway": 1.6,
    "Industrial": 1.4,
    "Pasture": 1.2,
    "PermanentCrop": 1.6,
    "Residential": 2.6,
    "River": 1.8,
    "SeaLake": 2.4,
}


@dataclasses.dataclass(frozen=True)
class LandcoverWorld:
    """Chips of 10 m pixels as Sentinel-2 sees them; the most common class is about three times the rarest."""

    size_px: int = 64
    shares: Mapping[str, float] = dataclasses.field(default_factory=lambda: SHARES)
    nuisance: NuisanceRanges = NuisanceRanges()

    def draw(self, label: str, size_px: int, rng: np.random.Generator) -> Scene:
        """Draws one chip of a class, float32 `[size_px, size_px, 3]`."""
        canvas = Canvas(size_px, vegetation.GRASS, rng)
        truth = RECIPES[label](canvas)
        return Scene(canvas.finished(), truth)
