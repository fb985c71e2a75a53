"""Near-duplicates: clusters hold what looks alike, and what brute force would put together."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from applications.formats.alike import Looks
from applications.formats.perceptual import looks_alike, perceptual_hash, thumbnail
from components.ingest.duplicates import band_masks, clusters, join

Hashes = npt.NDArray[np.uint64]
LUMA = np.array([0.299, 0.587, 0.114])


@given(bits=st.integers(0, 63))
def test_bands_share_out_all_64_bits(bits: int) -> None:
    masks = band_masks(bits)
    assert len(masks) == bits + 1
    assert sum(masks) == 2**64 - 1


def _pictures(seed: int, count: int) -> list[npt.NDArray[np.uint8]]:
    """Flat, near-flat and structured pictures, some of them copies with another brightness."""
    random = np.random.default_rng(seed)
    base = random.integers(0, 200, (4, 4, 4, 3))
    kinds = []
    for _ in range(count):
        picture = (
            np.kron(base[random.integers(4)], np.ones((4, 4, 1)))
            if random.random() < 0.5
            else np.full((16, 16, 3), 90.0)
        )
        picture = (
            picture * random.choice([1.0, 1.1, 1.9]) + random.choice([0, 3, 9]) + random.normal(0, 1, picture.shape)
        )
        kinds.append(np.clip(picture, 0, 255).astype(np.uint8))
    return kinds


def _described(pictures: list[npt.NDArray[np.uint8]]) -> tuple[Hashes, npt.NDArray[np.uint8]]:
    hashes = np.array([perceptual_hash((picture @ LUMA).astype(np.float32)) for picture in pictures], np.uint64)
    return hashes, np.stack([thumbnail(picture) for picture in pictures])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), bits=st.integers(0, 64))
def test_many_pairs_at_once_are_judged_as_one_by_one(seed: int, bits: int) -> None:
    hashes, thumbnails = _described(_pictures(seed, 12))
    first, second = np.triu_indices(12, k=1)
    one_by_one = [
        looks_alike(thumbnails[a], thumbnails[b], int(hashes[a]), int(hashes[b]), bits)
        for a, b in zip(first, second, strict=True)
    ]
    assert Looks(hashes, thumbnails).alike(first, second, bits).tolist() == one_by_one


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_clusters_are_the_connected_parts_of_what_looks_alike(seed: int) -> None:
    hashes, thumbnails = _described(_pictures(seed, 24))
    first, second = np.triu_indices(24, k=1)
    alike = Looks(hashes, thumbnails).alike(first, second, 7)
    names = list(range(24))
    for a, b in zip(first[alike], second[alike], strict=True):
        low, high = sorted((names[a], names[b]))
        names = [low if name == high else name for name in names]
    assert clusters(hashes, thumbnails, 7).tolist() == names


def test_no_items_make_no_clusters() -> None:
    assert clusters(np.zeros(0, np.uint64), np.zeros((0, 8, 8, 3), np.uint8), 3).shape == (0,)


@pytest.mark.parametrize("levels", [2, 200])
def test_ten_thousand_flat_images_are_clustered_in_seconds(levels: int) -> None:
    """All have the hash 0: the worst case of banding; with 200 grey levels 40 clusters share that one bucket."""
    random = np.random.default_rng(1)
    grey = (random.integers(0, levels, 10_000) // 5 * 5).astype(np.uint8)
    thumbnails = np.broadcast_to(grey[:, None, None, None], (10_000, 8, 8, 3))
    begin = time.perf_counter()
    names = clusters(np.zeros(10_000, np.uint64), thumbnails, 3)
    assert time.perf_counter() - begin < 4
    assert len(np.unique(names)) == len(np.unique(grey))


def test_open_water_of_real_chips_does_not_chain_into_one_cluster(shared_data: Path) -> None:
    """Water is the class where pictures are alike by nature; were it one group, it would lie in one split."""
    chips = [np.asarray(Image.open(path)) for path in sorted((shared_data / "eurosat_rgb" / "SeaLake").glob("*.jpg"))]
    sizes = np.bincount(clusters(*_described(chips), 7))
    assert len(chips) == 480
    assert sizes.max() <= 5
    assert sizes[sizes > 1].sum() <= 10


def test_a_chain_of_pairs_is_joined_under_its_smallest_place() -> None:
    roots = np.arange(100_001)
    down = np.arange(100_000, 0, -1)
    join(roots, down, down - 1)
    assert set(roots.tolist()) == {0}
