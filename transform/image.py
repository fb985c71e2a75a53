"""Images: from encoded bytes to pixels of one size, in a graph that training and serving share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from applications.settings import ImageSettings
from schemas import features
from transform.decode import decode_images


def preprocessing_fn(inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Decodes and resizes images; TensorFlow Transform traces it.

    There is no analyzer: the networks normalise what they see, and without one the Transform stage need not decode
    the training split at all.

    Args:
        inputs: raw features; `image` string `[batch]` or `[batch, 1]`, and `label_id` of the same shape in training.
        custom_config: the key "image" holds the values of `ImageSettings`.

    Returns:
        `pixels` float32 `[batch, height_px, width_px, 3]`, whole numbers 0 to 255, zeros for an unreadable image;
        `reason` string `[batch]`, empty where the image was readable; `label_id` int64 `[batch]` where it was given.
    """
    settings = ImageSettings(**custom_config["image"])
    encoded = tf.reshape(inputs[features.IMAGE], [-1])
    pixels, reason = decode_images(encoded, settings.height_px, settings.width_px)
    outputs = {features.PIXELS: tf.cast(pixels, tf.float32), features.REASON: reason}
    if features.LABEL_ID in inputs:
        outputs[features.LABEL_ID] = tf.reshape(inputs[features.LABEL_ID], [-1])
    return outputs
