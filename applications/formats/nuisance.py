"""What changes a photograph without changing what it shows: season, haze, light, sensor, compression.

The point is the mean colour: it is drawn from one distribution for all classes, so that a model which only looks at
colour learns little, and one which looks at texture and shape learns much.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from PIL import Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class NuisanceRanges:
    """From where the nuisance of one image is drawn, uniformly unless said."""

    mean_luma: tuple[float, float] = (0.22, 0.55)  # of the whole image, 0 to 1
    warmth: float = 0.05  # standard deviation of red minus luma, and of luma minus blue, 0 to 1
    green: float = 0.025  # standard deviation of green minus luma, about 0.015
    own_colour: float = 0.2  # share of the scene's own mean colour that is kept, 0 to 1
    gain: tuple[float, float] = (0.8, 1.2)  # factor on contrast
    haze: tuple[float, float] = (0.0, 0.35)  # share of white light added
    slope: float = 0.06  # largest change of brightness from one side to the other, 0 to 1
    noise: tuple[float, float] = (0.004, 0.014)  # standard deviation of the sensor's noise, 0 to 1
    quality: tuple[int, int] = (78, 95)  # of the JPEG


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nuisance:
    """The nuisance of one image, as `truth.json` records it."""

    mean_rgb: tuple[float, float, float]
    own_colour: float
    gain: float
    haze: float
    slope_across: float
    slope_down: float
    noise: float
    quarter_turns: int
    is_mirrored: bool
    quality: int


def draw_nuisance(ranges: NuisanceRanges, rng: np.random.Generator) -> Nuisance:
    """Draws one nuisance."""
    luma = rng.uniform(*ranges.mean_luma)
    warmth, green = rng.normal(0, ranges.warmth), rng.normal(0.015, ranges.green)
    return Nuisance(
        mean_rgb=(round(luma + warmth, 4), round(luma + green, 4), round(luma - warmth, 4)),
        own_colour=ranges.own_colour,
        gain=round(rng.uniform(*ranges.gain), 4),
        haze=round(rng.uniform(*ranges.haze), 4),
        slope_across=round(rng.uniform(-1, 1) * ranges.slope, 4),
        slope_down=round(rng.uniform(-1, 1) * ranges.slope, 4),
        noise=round(rng.uniform(*ranges.noise), 5),
        quarter_turns=int(rng.integers(4)),
        is_mirrored=bool(rng.integers(2)),
        quality=int(rng.integers(ranges.quality[0], ranges.quality[1] + 1)),
    )


def photograph(scene: npt.NDArray[np.float32], nuisance: Nuisance, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Sees a scene through season, haze, light and sensor.

    Args:
        scene: float32 `[height, width, 3]`, 0 to 1.
        nuisance: what to apply; its JPEG quality is the encoder's business.
        rng: of the sensor's noise.

    Returns:
        float32 of the same shape (height and width change places at an odd number of quarter turns), unclipped.
    """
    turned = np.rot90(scene, nuisance.quarter_turns)
    turned = turned[:, ::-1] if nuisance.is_mirrored else turned
    own = turned.mean((0, 1))
    target = np.asarray(nuisance.mean_rgb, np.float32)
    mean = nuisance.own_colour * own + (1 - nuisance.own_colour) * target
    height, width, _ = turned.shape
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * nuisance.slope_across
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * nuisance.slope_down
    seen = (turned - own) * (nuisance.gain * (1 - nuisance.haze)) + mean + across + down
    noise = rng.standard_normal(turned.shape, np.float32) * nuisance.noise
    return np.asarray(seen + noise, np.float32)


def to_image(seen: npt.NDArray[np.float32]) -> Image.Image:
    """Rounds float32 `[height, width, 3]`, 0 to 1, to an 8-bit image; what lies outside is clipped."""
    return Image.fromarray(np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8))
