"""Copies of a picture are found, other pictures are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from applications.formats.images import read_image
from applications.formats.perceptual import distance_bits, looks_alike, perceptual_hash, thumbnail

BITS = 7


def scene(seed: int, px: int = 64) -> np.ndarray:
    """Hills of several sizes in three colours, uint8 `[px, px, 3]`."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((px, px), Image.Resampling.BICUBIC)
        )
        for n in (4, 9, 20)
    ]
    return np.mean(layers, axis=0).astype(np.uint8)


def luma(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L"))


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    return looks_alike(thumbnail(a), thumbnail(b), perceptual_hash(luma(a)), perceptual_hash(luma(b)), BITS)


@given(seed=st.integers(0, 10_000), gain=st.floats(0.75, 1.2), offset=st.integers(-15, 25))
def test_light_does_not_hide_a_copy(seed, gain, offset):
    original = scene(seed)
    assert alike(original, np.clip(original * gain + offset, 0, 255).astype(np.uint8))


@given(seed=st.integers(0, 10_000), quality=st.integers(50, 95))
def test_storing_again_does_not_hide_a_copy(seed, quality):
    stream = io.BytesIO()
    Image.fromarray(scene(seed)).save(stream, "JPEG", quality=quality)
    assert alike(scene(seed), np.asarray(Image.open(stream)))


def test_nearly_all_copies_shifted_by_a_pixel_are_found():
    found = sum(alike(scene(seed, 66)[1:65, 1:65], scene(seed, 66)[1:65, 2:66]) for seed in range(200))
    assert found >= 195


@given(a=st.integers(0, 10_000), b=st.integers(10_001, 20_000))
def test_different_scenes_are_told_apart(a, b):
    assert not alike(scene(a), scene(b))


@given(height=st.integers(1, 90), width=st.integers(1, 90), value=st.integers(0, 255))
def test_any_size_has_a_64_bit_hash_and_a_uniform_picture_has_none_set(height, width, value):
    uniform = np.full((height, width, 3), value, np.uint8)
    assert perceptual_hash(luma(uniform)) == 0
    assert thumbnail(uniform).shape == (8, 8, 3)
    assert (thumbnail(uniform) == value).all()
    noise = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width), np.uint8)
    assert 0 <= perceptual_hash(noise) < 2**64


def test_thumbnail_averages_cells_also_where_they_do_not_divide_the_picture():
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 12, axis=0).repeat(3, axis=2)
    expected = [
        np.average(
            np.arange(100),
            weights=np.clip(np.minimum((c + 1) * 12.5, np.arange(1, 101)) - np.maximum(c * 12.5, np.arange(100)), 0, 1),
        )
        for c in range(8)
    ]
    assert np.abs(thumbnail(ramp)[3, :, 0] - np.asarray(expected)).max() <= 0.5


def test_two_flat_pictures_are_copies_only_when_their_colours_agree():
    sea, other_sea, mud = (
        np.full((64, 64, 3), colour, np.uint8) for colour in ((30, 60, 90), (32, 61, 88), (90, 80, 60))
    )
    assert alike(sea, other_sea)
    assert not alike(sea, mud)


def test_a_pale_and_a_strong_picture_of_the_same_shape_are_not_copies():
    strong = scene(5)
    pale = (128 + (strong.astype(float) - 128) * 0.3).astype(np.uint8)
    assert not alike(strong, pale)


def test_distance_counts_bits():
    assert distance_bits(0b1011, 0b0001) == 2
    assert distance_bits(0, 2**64 - 1) == 64


@pytest.mark.parametrize("folder", ["eurosat_rgb"])
def test_real_chips_are_not_mistaken_for_copies(shared_data, folder):
    files = sorted((shared_data / folder).glob("*/*.jpg"))[::4]
    images = [read_image(file.read_bytes(), max_pixels=10**6) for file in files]
    hashes = np.array([image.perceptual_hash for image in images], np.uint64)
    near = np.argwhere(np.triu(np.bitwise_count(hashes[:, None] ^ hashes[None]) <= BITS, 1))
    found = [
        (a, b)
        for a, b in near
        if looks_alike(images[a].thumbnail, images[b].thumbnail, int(hashes[a]), int(hashes[b]), BITS)
    ]
    assert len(found) <= 1
