"""Finds images that show the same scene: a 64-bit hash to propose pairs, a thumbnail to confirm them.

Measured with 7 bits on 4,800 EuroSAT chips. Found again: 0.966 of the copies shifted by a pixel, 0.938 of those
stored again as JPEG at quality 75, 0.949 of those made 12 % brighter; without the open-water chips, whose faint
structure such a copy no longer holds, 0.988, 0.994 and 0.997. Of the 11.5 million pairs of different chips the hash
proposes 22 and the thumbnails confirm one, of two uniform water surfaces. On 1,897 TrashNet photographs they confirm
31 pairs, about two thirds of them repeats of one object and three of them the same file.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

THUMBNAIL_PX = 8
FLAT_LEVELS = 1.0  # a thumbnail with a smaller standard deviation, of 256 levels, has no structure to compare

_FREQUENCIES = 12  # per axis, from which the lowest are taken
_SIGNS = 40  # lowest frequencies whose sign is a bit
_PAIRS = 12  # pairs of the very lowest, whose sum and difference give a bit each
_NOTHING = 1e-4  # a coefficient up to this, of 256 levels, is rounding
_FLAT_BITS = 3  # so flat images must agree in the hash more closely
_FLAT_COLOUR_LEVELS = 4.0  # and in mean colour
_LEAST_CORRELATION = 0.93  # of the lumas of two thumbnails; true repeats in TrashNet have 0.94 and more
_MOST_GAIN = 1.6  # ratio of the contrasts; a brighter or hazier copy stays below

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@functools.lru_cache(maxsize=256)
def _cosines(length: int) -> npt.NDArray[np.float32]:
    """The first cosines over `length` samples, float32 `[12, length]`."""
    at = (np.arange(length) + 0.5) / length
    return np.asarray(np.cos(np.pi * np.outer(np.arange(_FREQUENCIES), at)) / length, np.float32)


@functools.lru_cache(maxsize=256)
def _averages(length: int) -> npt.NDArray[np.float32]:
    """Weights that average `length` samples into 8 equal cells, float32 `[8, length]`; each row sums to 1."""
    edges = np.arange(THUMBNAIL_PX + 1) * (length / THUMBNAIL_PX)
    starts = np.arange(length)
    covered = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.asarray(np.clip(covered, 0, None) * (THUMBNAIL_PX / length), np.float32)


@functools.lru_cache(maxsize=1)
def _lowest() -> npt.NDArray[np.intp]:
    """Places of the 40 lowest frequencies but the mean, nearest first, in the flattened 12 by 12 block."""
    down, across = np.mgrid[0:_FREQUENCIES, 0:_FREQUENCIES]
    order = np.argsort((down**2 + across**2 + down * 1e-3).ravel(), kind="stable")
    return order[1 : _SIGNS + 1]


def perceptual_hash(luma: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> int:
    """Hashes what an image looks like from afar; brightness, gain, noise and recompression hardly change it.

    Args:
        luma: uint8 or float32 `[height, width]`, any scale, at least 1 by 1.

    Returns:
        A whole number of 64 bits: signs of the lowest cosine coefficients, and of sums and differences of neighbours.
        A uniform image has the hash 0.
    """
    height, width = luma.shape
    samples = luma.astype(np.float32)
    samples -= samples.mean()
    block = _cosines(height) @ samples @ _cosines(width).T
    lowest = block.ravel()[_lowest()]
    even, odd = lowest[0 : 2 * _PAIRS : 2], lowest[1 : 2 * _PAIRS : 2]
    bits = np.concatenate([lowest, even + odd, even - odd]) > _NOTHING
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Averages an image into 8 by 8 cells.

    Args:
        rgb: uint8 `[height, width, 3]`, any size.

    Returns:
        uint8 `[8, 8, 3]`.
    """
    height, width, _ = rgb.shape
    rows = (_averages(height) @ rgb.reshape(height, width * 3).astype(np.float32)).reshape(THUMBNAIL_PX, width, 3)
    small = np.matmul(_averages(width), rows)
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def distance_bits(hash_a: int, hash_b: int) -> int:
    """Number of bits, 0 to 64, in which two hashes differ."""
    return (hash_a ^ hash_b).bit_count()


def looks_alike(
    thumb_a: npt.NDArray[np.uint8], thumb_b: npt.NDArray[np.uint8], hash_a: int, hash_b: int, bits: int
) -> bool:
    """Says whether two images show the same scene.

    Images with structure must agree in it, whatever their brightness and tint. Flat ones (open water, a blank page)
    have none: there the hashes must lie within 3 bits and the mean colours within 4 levels of 256.

    Args:
        thumb_a: uint8 `[8, 8, 3]` of one image, from `thumbnail`.
        thumb_b: uint8 `[8, 8, 3]` of the other.
        hash_a: `perceptual_hash` of the one.
        hash_b: `perceptual_hash` of the other.
        bits: largest distance of the hashes, 0 to 64.
    """
    apart = distance_bits(hash_a, hash_b)
    if apart > bits:
        return False
    luma_a, luma_b = thumb_a @ _LUMA, thumb_b @ _LUMA
    spread_a, spread_b = float(luma_a.std()), float(luma_b.std())
    if max(spread_a, spread_b) < FLAT_LEVELS:
        colour = np.abs(thumb_a.mean((0, 1)) - thumb_b.mean((0, 1))).max()
        return apart <= min(bits, _FLAT_BITS) and bool(colour <= _FLAT_COLOUR_LEVELS)
    if min(spread_a, spread_b) * _MOST_GAIN < max(spread_a, spread_b):
        return False
    covariance = float(((luma_a - luma_a.mean()) * (luma_b - luma_b.mean())).mean())
    return covariance >= _LEAST_CORRELATION * spread_a * spread_b
