"""Changes to training images that leave their class as it is; `trainer.choices` names them.

All work on a whole batch at once, in the graph: they cost a fraction of a millisecond per step.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer import choices

LIGHT_CHANGE = 0.15  # brightness and contrast change by up to this fraction
SHIFT_SHARE = 16  # an image moves by at most its side divided by this


def flip(images: tf.Tensor) -> tf.Tensor:
    """Mirrors half of the images left to right. Any dtype `[batch, height, width, channels]`; the same comes back."""
    return _for_half(images, tf.reverse(images, [2]))


def rotate(images: tf.Tensor) -> tf.Tensor:
    """Turns images upside down and, where they are square, by a quarter: with `flip`, all eight ways to lay them.

    For what is seen from above. Any dtype `[batch, height, width, channels]`; the same comes back.
    """
    images = _for_half(images, tf.reverse(images, [1]))
    if images.shape[1] is None or images.shape[1] != images.shape[2]:
        return images
    return _for_half(images, tf.transpose(images, [0, 2, 1, 3]))


def shift(images: tf.Tensor) -> tf.Tensor:
    """Moves the batch by up to a sixteenth of its side, mirroring what comes in at the edges.

    Any dtype `[batch, height, width, channels]`, sides known; the same comes back.
    """
    height, width = images.shape[1:3]
    most = (height // SHIFT_SHARE, width // SHIFT_SHARE)
    padded = tf.pad(images, [[0, 0], [most[0]] * 2, [most[1]] * 2, [0, 0]], "REFLECT")
    top, left = (tf.random.uniform([], 0, 2 * side + 1, tf.int32) for side in most)
    return tf.ensure_shape(padded[:, top : top + height, left : left + width], images.shape)


def light(images: tf.Tensor) -> tf.Tensor:
    """Changes each image's brightness and contrast by up to 15 %.

    Any dtype `[batch, height, width, channels]`, 0 to 255; the same dtype and range come back.
    """
    values = tf.cast(images, tf.float32)
    mean = tf.reduce_mean(values, [1, 2, 3], keepdims=True)
    count = tf.shape(images)[0]
    contrast, brightness = (tf.random.uniform([count, 1, 1, 1], 1 - LIGHT_CHANGE, 1 + LIGHT_CHANGE) for _ in range(2))
    values = (values - mean) * contrast + mean * brightness
    return tf.cast(tf.clip_by_value(tf.round(values), 0, 255), images.dtype)


def crop(images: tf.Tensor, share: float) -> tf.Tensor:
    """Cuts one window, at a place drawn anew for every batch, out of all images of it.

    The network sees other neighbourhoods each time and has less to compute: at 0.75 a training step costs 0.56.

    Args:
        images: any dtype `[batch, height, width, channels]`, sides known.
        share: side of the window as a fraction of the image's, above 0 and at most 1.

    Returns:
        The same dtype `[batch, round(share × height), round(share × width), channels]`.
    """
    height, width = (max(1, round(share * side)) for side in images.shape[1:3])
    top, left = (
        tf.random.uniform([], 0, whole - part + 1, tf.int32)
        for whole, part in zip(images.shape[1:3], (height, width), strict=True)
    )
    window = images[:, top : top + height, left : left + width]
    return tf.ensure_shape(window, [images.shape[0], height, width, images.shape[3]])


def augment(images: tf.Tensor, changes: Sequence[str]) -> tf.Tensor:
    """Applies changes one after the other, each drawn anew for every image.

    Args:
        images: any dtype `[batch, height, width, channels]`, 0 to 255.
        changes: names of changes.

    Returns:
        The same dtype and shape.

    Raises:
        UnknownName: there is no such change.
    """
    for name in changes:
        images = choices.load("train.augment", name)(images)
    return images


def _for_half(images: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
    """Takes `changed` instead of `images` for a random half of the batch."""
    is_chosen = tf.random.uniform([tf.shape(images)[0], 1, 1, 1]) < 0.5  # noqa: PLR2004
    return tf.where(is_chosen, changed, images)
