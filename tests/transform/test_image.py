"""The transform graph of images."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from schemas import features
from transform.image import preprocessing_fn

CONFIG = {"image": {"height_px": 8, "width_px": 12}}


def png(shade: int) -> bytes:
    """Returns a file of one shade."""
    return tf.io.encode_png(np.full((20, 20, 3), shade, np.uint8)).numpy()


def test_pixels_are_whole_numbers_of_the_configured_size() -> None:
    outputs = preprocessing_fn({features.IMAGE: tf.constant([[png(7)]])}, CONFIG)
    assert outputs[features.PIXELS].dtype == tf.float32
    np.testing.assert_array_equal(outputs[features.PIXELS], np.full((1, 8, 12, 3), 7))


def test_label_ids_pass_through_and_may_be_absent() -> None:
    image = {features.IMAGE: tf.constant([[png(7)], [png(8)]])}
    assert features.LABEL_ID not in preprocessing_fn(image, CONFIG)
    outputs = preprocessing_fn({**image, features.LABEL_ID: tf.constant([[3], [1]], tf.int64)}, CONFIG)
    assert outputs[features.LABEL_ID].numpy().tolist() == [3, 1]


def test_an_unreadable_image_has_a_reason_and_no_pixels() -> None:
    outputs = preprocessing_fn({features.IMAGE: tf.constant([b"junk", png(9)])}, CONFIG)
    assert outputs[features.REASON].numpy().tolist() == [b"not a JPEG or PNG image", b""]
    assert outputs[features.PIXELS].numpy().mean(axis=(1, 2, 3)).tolist() == [0, 9]


def test_tfx_need_not_look_at_the_data_for_this_graph() -> None:
    specs = {features.IMAGE: tf.TensorSpec([None], tf.string), features.LABEL_ID: tf.TensorSpec([None], tf.int64)}
    with_config = functools.partial(preprocessing_fn, custom_config=CONFIG)
    assert tft.get_analyze_input_columns(with_config, specs) == []
    assert set(tft.get_transform_input_columns(with_config, specs)) == set(specs)
