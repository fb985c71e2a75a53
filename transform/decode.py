"""Decodes a batch of images inside the graph, so that one broken image does not fail its neighbours.

A plain `tf.map_fn(tf.io.decode_image, …)` fails the whole batch. Here each image is an element of a dataset whose
failing elements are dropped. The dataset is put together from raw ops because the Python API hides options in it
that make TensorFlow rewrite and optimise the dataset at every call: 25 to 75 ms instead of below 1 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

MAX_PIXELS = 50_000_000  # an image that declares more is refused before it is decoded

NOT_AN_IMAGE = "not a JPEG or PNG image"
UNREADABLE = "unreadable: damaged or truncated"

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE_AT = 16  # width and height follow, 4 bytes each, the most significant first

_Element = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def decode_images(
    encoded: tf.Tensor, height_px: int, width_px: int, max_pixels: int = MAX_PIXELS
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes JPEG and PNG images and brings them to one size.

    Grey, palette, 16-bit and CMYK images become RGB; transparency is dropped. A resized image is antialiased and
    rounded; one that has the right size is left as it is.

    Args:
        encoded: string `[batch]`, each the bytes of one file.
        height_px: pixels of every result.
        width_px: pixels of every result.
        max_pixels: an image whose header declares more is refused without being decoded.

    Returns:
        uint8 `[batch, height_px, width_px, 3]`, zeros where an image could not be read, and
        string `[batch]`, why not; empty where it could.
    """
    # The data set ops in the function make its call one that TensorFlow will not move or leave out, and that TFX holds
    # for an analysis of the training split. This call says what is true, that it only computes.
    pixels, reason = tf.raw_ops.PartitionedCall(
        args=[encoded], Tout=[tf.uint8, tf.string], f=_decoder(height_px, width_px, max_pixels)
    )
    return tf.ensure_shape(pixels, [*encoded.shape, height_px, width_px, 3]), tf.ensure_shape(reason, encoded.shape)


@functools.cache
def _decoder(height_px: int, width_px: int, max_pixels: int) -> tf.types.experimental.ConcreteFunction:
    """Traces the decoding of a batch, once for all graphs that use it; arguments and results as `decode_images`."""

    def decode_one(index: tf.Tensor, data: tf.Tensor, is_image: tf.Tensor, is_jpeg: tf.Tensor) -> _Element:
        """Decodes one image; fails where it is damaged."""
        is_small = tf.cond(is_image, lambda: _declared_pixels(data, is_jpeg) <= max_pixels, lambda: False)
        blank = tf.zeros([height_px, width_px, 3], tf.uint8)
        pixels = tf.cond(is_small, lambda: _fit(_decode(data), height_px, width_px), lambda: blank)
        return index, is_small, tf.ensure_shape(pixels, [height_px, width_px, 3])

    def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes a batch."""
        count = tf.size(encoded, out_type=tf.int64)
        is_jpeg = _starts_with(encoded, _JPEG_START)
        is_image = is_jpeg | _starts_with(encoded, _PNG_START)
        index, is_small, pixels = _map_readable((tf.range(count), encoded, is_image, is_jpeg), decode_one)
        pixels = tf.scatter_nd(index[:, tf.newaxis], pixels, tf.stack([count, height_px, width_px, 3]))
        code = 1 + tf.cast(is_small, tf.int32)  # what no element came back for stays 0
        code = tf.scatter_nd(index[:, tf.newaxis], code, count[tf.newaxis])
        reason = tf.gather(tf.constant([UNREADABLE, _too_many(max_pixels), ""]), code)
        return pixels, tf.where(is_image, reason, NOT_AN_IMAGE)

    with tf.init_scope():  # not inside of the graph that happens to be built
        return _traced(decode, [tf.TensorSpec([None], tf.string)])


def _traced(function: Callable[..., Any], inputs: list[tf.TensorSpec]) -> tf.types.experimental.ConcreteFunction:
    return tf.function(function, input_signature=inputs, autograph=False).get_concrete_function()


def _too_many(max_pixels: int) -> str:
    return f"more than {max_pixels} pixels"


def _starts_with(encoded: tf.Tensor, start: bytes) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(start)) == start


def _declared_pixels(data: tf.Tensor, is_jpeg: tf.Tensor) -> tf.Tensor:
    """Reads height × width from the header alone; int64, and fails on a header that is cut off."""

    def in_png() -> tf.Tensor:
        """Returns height and width, in any order."""
        return tf.io.decode_raw(tf.strings.substr(data, _PNG_SIZE_AT, 8), tf.int32, little_endian=False)[:2]

    sides = tf.cond(is_jpeg, lambda: tf.image.extract_jpeg_shape(data)[:2], in_png)
    return tf.reduce_prod(tf.cast(sides, tf.int64))


def _decode(data: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_image(data, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, [None, None, 3])


def _fit(pixels: tf.Tensor, height_px: int, width_px: int) -> tf.Tensor:
    def resized() -> tf.Tensor:
        """Returns the image at the size wanted."""
        floats = tf.image.resize(pixels, [height_px, width_px], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(floats), 0, 255), tf.uint8)

    return tf.cond(tf.reduce_all(tf.shape(pixels)[:2] == [height_px, width_px]), lambda: pixels, resized)


def _map_readable(components: tuple[tf.Tensor, ...], function: Callable[..., _Element]) -> list[tf.Tensor]:
    """Maps a function over rows and returns, stacked, what it gave for those rows where it did not fail."""
    ops = tf.raw_ops
    mapped = _traced(function, [tf.TensorSpec(part.shape[1:], part.dtype) for part in components])
    kinds = [tf.TensorSpec(output.shape, output.dtype) for output in mapped.outputs]
    one = {"output_types": [kind.dtype for kind in kinds], "output_shapes": [kind.shape for kind in kinds]}
    many = {**one, "output_shapes": [tf.TensorShape([None]).concatenate(kind.shape) for kind in kinds]}
    rows = ops.TensorSliceDataset(components=components, output_shapes=[part.shape[1:] for part in components])
    # Without the inter-op pool a function may hold no lowered `tf.cond`, which the two above need.
    rows = ops.MapDataset(
        input_dataset=rows,
        other_arguments=[],
        f=mapped,
        use_inter_op_parallelism=True,
        preserve_cardinality=True,
        **one,
    )
    rows = ops.IgnoreErrorsDataset(input_dataset=rows, log_warning=False, **one)
    size = tf.maximum(tf.size(components[0], out_type=tf.int64), 1)
    batch = ops.BatchDatasetV2(input_dataset=rows, batch_size=size, drop_remainder=False, **many)
    # When every row failed there is no batch; the empty one stands in for it.
    empty = [tf.zeros([0, *kind.shape], kind.dtype) for kind in kinds]
    nothing = ops.TensorDataset(components=empty, output_shapes=[part.shape for part in empty])
    either = ops.ConcatenateDataset(input_dataset=batch, another_dataset=nothing, **many)
    first = ops.TakeDataset(input_dataset=either, count=1, **many)
    return list(ops.DatasetToSingleElement(dataset=first, **many))
