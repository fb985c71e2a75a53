"""Augmentation changes the look and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from applications.errors import UnknownName
from trainer.augment import augment, crop
from trainer.choices import CHOICES

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("name", CHOICES["train.augment"])
@pytest.mark.parametrize("shape", [(24, 16, 16, 3), (24, 16, 32, 3)])
def test_every_change_keeps_shape_dtype_and_range(name: str, shape: tuple[int, ...]) -> None:
    tf.random.set_seed(3)
    images = np.resize(IMAGES, shape)
    drawn = [augment(tf.constant(images), [name]) for _ in range(8)]  # a single draw may be "no shift at all"
    assert all(changed.dtype == tf.uint8 and changed.shape == shape for changed in drawn)
    assert any(not np.array_equal(changed, images) for changed in drawn)


def test_flip_and_rotate_give_all_eight_ways_to_lay_an_image() -> None:
    tf.random.set_seed(1)
    corner = np.zeros((200, 4, 4, 1), np.uint8)
    corner[:, 0, 1] = 1
    found = {image.tobytes() for image in augment(tf.constant(corner), ["flip", "rotate"]).numpy()}
    assert len(found) == 8
    assert all(sum(image) == 1 for image in found)


def test_flip_alone_leaves_rows_where_they_are() -> None:
    flipped = augment(tf.constant(IMAGES), ["flip"]).numpy()
    np.testing.assert_array_equal(flipped.sum(axis=2, dtype=int), IMAGES.sum(axis=2, dtype=int))


def test_light_changes_the_mean_by_at_most_its_limit() -> None:
    grey = np.full((64, 8, 8, 3), 100, np.uint8)
    means = augment(tf.constant(grey), ["light"]).numpy().mean(axis=(1, 2, 3))
    assert means.min() >= 85
    assert means.max() <= 115
    assert np.ptp(means) > 10


def test_no_change_is_no_change() -> None:
    np.testing.assert_array_equal(augment(tf.constant(IMAGES), []), IMAGES)


def test_an_unknown_change_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no train.augment 'flipp'; .* Did you mean 'flip'\?"):
        augment(tf.constant(IMAGES), ["flipp"])


def test_crop_cuts_the_same_window_out_of_every_image() -> None:
    tf.random.set_seed(3)
    place = np.arange(16 * 16).reshape(1, 16, 16, 1).repeat(5, axis=0)
    window = crop(tf.constant(place), 0.75).numpy()
    assert window.shape == (5, 12, 12, 1)
    assert np.all(window == window[:1])
    assert np.all(np.diff(window[0, :, :, 0], axis=1) == 1)
    assert np.all(np.diff(window[0, :, :, 0], axis=0) == 16)


def test_crop_of_the_whole_is_the_whole() -> None:
    np.testing.assert_array_equal(crop(tf.constant(IMAGES), 1.0), IMAGES)
