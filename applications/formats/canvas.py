"""A square to draw procedural scenes on, in rotated coordinates, smoothed by drawing at twice the size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float32]  # float32 [fine, fine], one value per fine pixel
Colour = tuple[float, float, float]  # red, green, blue, 0 to 1

FINE = 2  # fine pixels along one pixel of the scene


class Canvas:
    """One scene while it is drawn.

    Attributes:
        px: height and width of the finished scene, pixels.
        along, across: where each fine pixel lies in coordinates turned by a random angle, pixels from the middle.
        planes: float32 `[3, fine, fine]`, red, green and blue, 0 to 1.
    """

    def __init__(self, px: int, ground: Colour, rng: np.random.Generator) -> None:
        self.px = px
        self.rng = rng
        fine = px * FINE
        self.turned_rad = rng.uniform(0, np.pi)
        axis = (np.arange(fine, dtype=np.float32) + 0.5) / FINE - px / 2
        across, down = np.meshgrid(axis, axis)
        cosine, sine = np.float32(np.cos(self.turned_rad)), np.float32(np.sin(self.turned_rad))
        self.along: Plane = np.asarray(across * cosine + down * sine, np.float32)
        self.across: Plane = np.asarray(down * cosine - across * sine, np.float32)
        self.planes = np.empty((3, fine, fine), np.float32)
        self.fill(ground)

    def chance(self, share: float) -> bool:
        """Whether something that happens in so many cases, 0 to 1, happens here."""
        return bool(self.rng.random() < share)

    def chances(self, share: float, *shape: int) -> npt.NDArray[np.bool_]:
        """Draws `chance` for every cell of an array, bool `[*shape]`."""
        return np.asarray(self.rng.random(shape) < share)

    def noise(self, cell_px: float) -> Plane:
        """Smooth random hills about `cell_px` pixels wide, mean 0, standard deviation about 1."""
        fine = self.px * FINE
        cells = max(2, round(self.px / cell_px) + 3)
        grid = Image.fromarray(self.rng.standard_normal((cells, cells), np.float32))
        start = self.rng.uniform(0, 1, 2)
        span = self.px / cell_px
        box = (start[0], start[1], min(start[0] + span, cells), min(start[1] + span, cells))
        hills = np.array(grid.resize((fine, fine), Image.Resampling.BICUBIC, box=box), np.float32)
        flat = hills.ravel()
        mean = float(flat.sum()) / flat.size
        spread = max(float(np.square(flat).sum()) / flat.size - mean**2, 1e-12) ** 0.5
        hills /= np.float32(spread)
        return hills

    def fill(self, colour: Colour) -> None:
        """Covers everything with a colour."""
        self.planes[:] = np.asarray(colour, np.float32)[:, None, None]

    def paint(self, where: npt.NDArray[Any], colour: Colour | npt.NDArray[np.float32]) -> None:
        """Covers with a colour.

        Args:
            where: how much of each fine pixel is covered, 0 to 1, or whether it is.
            colour: red, green, blue, or float32 `[3, fine, fine]` of them.
        """
        share = np.asarray(where, np.float32)
        for channel, value in enumerate(colour):
            change = np.subtract(value, self.planes[channel], dtype=np.float32)
            change *= share
            self.planes[channel] += change

    def paint_parcels(self, parcel: npt.NDArray[np.intp], colours: Sequence[Colour]) -> None:
        """Gives every parcel its colour, and so covers all there was."""
        self.planes = parcel_colours(parcel, colours)

    def spot(self, along: float, across: float, radius_px: float, colour: Colour) -> None:
        """Paints a small disc around a place in the turned coordinates."""
        cosine, sine = np.cos(self.turned_rad), np.sin(self.turned_rad)
        column = (along * cosine - across * sine + self.px / 2) * FINE
        row = (along * sine + across * cosine + self.px / 2) * FINE
        reach = int(np.ceil((radius_px + 1) * FINE))
        rows = slice(max(0, int(row) - reach), max(0, int(row) + reach + 1))
        columns = slice(max(0, int(column) - reach), max(0, int(column) + reach + 1))
        distance = np.hypot(self.along[rows, columns] - along, self.across[rows, columns] - across)
        share = np.clip(radius_px + 0.5 - distance, 0, 1)
        part = self.planes[:, rows, columns]
        part += share * (np.asarray(colour, np.float32)[:, None, None] - part)

    def shade(self, by: npt.NDArray[Any]) -> None:
        """Makes brighter or darker: `by` is added to all three colours."""
        self.planes += np.asarray(by, np.float32)

    def parcels(self, least_px: float, most: int) -> tuple[npt.NDArray[np.intp], Plane]:
        """Cuts the square into rectangles in the turned coordinates.

        Args:
            least_px: no rectangle becomes narrower.
            most: at most so many rectangles.

        Returns:
            intp `[fine, fine]`, the parcel of each fine pixel from 0, and float32 `[fine, fine]`, the distance to the
            parcel's border, pixels.
        """
        reach = self.px * 0.75
        boxes = [(-reach, reach, -reach, reach)]
        while len(boxes) < most:
            boxes.sort(key=lambda box: (box[1] - box[0]) * (box[3] - box[2]))
            low, high, left, right = boxes[-1]
            if max(high - low, right - left) < 2 * least_px:
                break
            boxes.pop()
            at = self.rng.uniform(0.35, 0.65)
            if high - low > right - left:
                cut = low + at * (high - low)
                boxes += [(low, cut, left, right), (cut, high, left, right)]
            else:
                cut = left + at * (right - left)
                boxes += [(low, high, left, cut), (low, high, cut, right)]
        index = np.zeros(self.along.shape, np.intp)
        border = np.full(self.along.shape, -np.inf, np.float32)
        for place, (low, high, left, right) in enumerate(boxes):
            inside = np.minimum(
                np.minimum(self.along - low, high - self.along), np.minimum(self.across - left, right - self.across)
            )
            index[inside > border] = place
            border = np.maximum(border, inside)
        return index, border

    def finished(self) -> npt.NDArray[np.float32]:
        """The scene at its own size, float32 `[px, px, 3]`, 0 to 1."""
        halved = self.planes[:, ::2] + self.planes[:, 1::2]
        small = (halved[..., ::2] + halved[..., 1::2]) / (FINE * FINE)
        return np.ascontiguousarray(np.clip(small, 0, 1).transpose(1, 2, 0))


def cells(position: Plane, pitch_px: float) -> tuple[npt.NDArray[np.intp], Plane]:
    """Cuts a coordinate into cells of equal width.

    Args:
        position: pixels.
        pitch_px: width of a cell.

    Returns:
        intp, the number of each pixel's cell modulo 64, and float32, the distance from the cell's middle, pixels.
    """
    scaled = position / pitch_px
    number = np.floor(scaled)
    middle = (scaled - number - 0.5) * pitch_px
    return number.astype(np.intp) % 64, np.asarray(middle, np.float32)


def parcel_colours(parcel: npt.NDArray[np.intp], colours: Sequence[Colour]) -> npt.NDArray[np.float32]:
    """The colour of each fine pixel's parcel, float32 `[3, fine, fine]`."""
    return np.asarray(colours, np.float32).T[:, parcel]


def band(line: npt.NDArray[Any], half_px: float) -> Plane:
    """How much of each fine pixel lies within `half_px` pixels of where `line` is 0, 0 to 1."""
    return np.asarray(np.clip(half_px + 0.5 - np.abs(line), 0, 1), np.float32)


def varied(colour: Colour, rng: np.random.Generator, by: float = 0.03) -> Colour:
    """A colour a little off: one shift for all three channels and a smaller one for each."""
    shift = rng.normal(0, by) + rng.normal(0, by / 2, 3)
    red, green, blue = np.clip(np.asarray(colour) + shift, 0, 1).tolist()
    return red, green, blue
