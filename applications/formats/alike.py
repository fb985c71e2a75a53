"""Compares many thumbnails at once, by the rule of `perceptual.looks_alike`."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from applications.formats import perceptual

Places = npt.NDArray[np.intp]
_ROUNDING = 1e-3


@dataclasses.dataclass(frozen=True)
class Strand:
    """Images on a line, of which no two farther apart than `reach` look alike."""

    members: Places  # intp [members], places of the images
    at: npt.NDArray[np.float32]  # float32 [members], where each lies on the line
    reach: float


def contrast(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns the contrast of each thumbnail, by which it is flat or not.

    Args:
        thumbnails: uint8 `[images, 8, 8, 3]`, from `perceptual.thumbnail`.

    Returns:
        float32 `[images]`, standard deviation of luma, of 256 levels.
    """
    return np.asarray(_luma(thumbnails).std(axis=1))


def _luma(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Luma of every cell, float32 `[images, 64]`."""
    return (thumbnails.reshape(-1, perceptual.THUMBNAIL_PX**2, 3) @ perceptual._LUMA).astype(np.float32)


class Looks:
    """What of every thumbnail the rule looks at, computed once.

    Attributes:
        count: number of images.
    """

    def __init__(self, hashes: npt.NDArray[np.uint64], thumbnails: npt.NDArray[np.uint8]) -> None:
        """Prepares the comparison.

        Args:
            hashes: uint64 `[images]`, from `perceptual.perceptual_hash`.
            thumbnails: uint8 `[images, 8, 8, 3]`, from `perceptual.thumbnail`.
        """
        self.count = len(hashes)
        self._hashes = hashes
        luma = _luma(thumbnails)
        self._spread = luma.std(axis=1)
        self._luma = luma - luma.mean(axis=1, keepdims=True)
        self._colour = thumbnails.mean(axis=(1, 2), dtype=np.float32)

    def strands(self) -> tuple[Strand, Strand]:
        """Returns two strands, one by colour and one by contrast; any two images that look alike share one."""
        flat = np.flatnonzero(self._spread < perceptual.FLAT_LEVELS)
        structured = np.flatnonzero(self._spread * (perceptual._MOST_GAIN + _ROUNDING) >= perceptual.FLAT_LEVELS)
        contrast = np.log(self._spread[structured])
        return (
            Strand(flat, self._colour[flat, 1], perceptual._FLAT_COLOUR_LEVELS + _ROUNDING),
            Strand(structured, contrast, float(np.log(perceptual._MOST_GAIN)) + _ROUNDING),
        )

    def alike(self, first: Places, second: Places, bits: int) -> npt.NDArray[np.bool_]:
        """Says for each pair whether both show the same scene.

        Args:
            first: places `[pairs]` of the one image of each pair.
            second: places `[pairs]` of the other.
            bits: largest distance of the hashes, 0 to 64.

        Returns:
            bool `[pairs]`, equal to `perceptual.looks_alike` of each pair.
        """
        apart = np.bitwise_count(self._hashes[first] ^ self._hashes[second])
        answer = apart <= bits
        near = np.flatnonzero(answer)
        flat = np.maximum(self._spread[first[near]], self._spread[second[near]]) < perceptual.FLAT_LEVELS
        answer[near[flat]] = apart[near[flat]] <= min(bits, perceptual._FLAT_BITS)
        answer[near[flat]] &= self._same_colour(first[near[flat]], second[near[flat]])
        answer[near[~flat]] = self._same_structure(first[near[~flat]], second[near[~flat]])
        return answer

    def _same_colour(self, first: Places, second: Places) -> npt.NDArray[np.bool_]:
        apart = np.abs(self._colour[first] - self._colour[second]).max(axis=1, initial=0)
        return np.asarray(apart <= perceptual._FLAT_COLOUR_LEVELS)

    def _same_structure(self, first: Places, second: Places) -> npt.NDArray[np.bool_]:
        spread_a, spread_b = self._spread[first], self._spread[second]
        answer = np.minimum(spread_a, spread_b) * perceptual._MOST_GAIN >= np.maximum(spread_a, spread_b)
        kept = np.flatnonzero(answer)
        covariance = (self._luma[first[kept]] * self._luma[second[kept]]).mean(axis=1)
        answer[kept] = covariance >= perceptual._LEAST_CORRELATION * spread_a[kept] * spread_b[kept]
        return answer
