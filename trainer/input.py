"""From TFRecords of raw Examples to batches of pixels.

Every image is decoded once, by the transform graph that serving uses too, and kept as uint8 in memory.
`docs/decisions/0002-decode-once.md` has the figures.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from applications import progress
from applications.errors import StageError
from applications.settings import TrainSettings
from schemas import features
from trainer.augment import augment, crop
from transform.graph import TransformGraph

READ_BATCH = 64  # images decoded at once
_ALIGNMENT_BYTES = 64  # of a tensor's memory

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items:
    """One split in memory.

    Attributes:
        pixels: uint8 `[items, height, width, 3]`; an array is copied by every data set made of it, a tensor is not.
        label_id: int64 `[items]`, place of the class.
        sha256: hexadecimal digits of each file's digest, in the same order.
    """

    pixels: tf.Tensor | np.ndarray
    label_id: np.ndarray
    sha256: tuple[str, ...]

    def __len__(self) -> int:
        """Returns how many items there are."""
        return len(self.label_id)


def load_items(patterns: Sequence[str], transform_output: Any, split: str) -> Items:
    """Reads a split and decodes it through the transform graph; items it cannot read are left out with a warning.

    Args:
        patterns: glob patterns of TFRecord files; those ending in `.gz` are compressed.
        transform_output: a `tft.TFTransformOutput`.
        split: its name, for messages.

    Returns:
        The items in the order of the files.

    Raises:
        StageError: nothing in the split can be read.
    """
    sha256: list[str] = []
    label_id, reasons = [], []
    pixels = _Pixels(_count(patterns))
    for batch in raw_batches(patterns, transform_output):
        is_readable = batch[features.REASON].numpy() == b""
        pixels.append(batch[features.PIXELS].numpy()[is_readable])
        label_id.append(batch[features.LABEL_ID].numpy()[is_readable])
        sha256.extend(digest.decode() for digest in batch[features.SHA256].numpy()[is_readable])
        reasons.extend(batch[features.REASON].numpy()[~is_readable])
    if reasons:
        _logger.warning("%d images of the %s split are left out: %s", len(reasons), split, reasons[0].decode())
    if not sha256:
        raise StageError(
            f"the {split} split must hold at least one readable image, got none in {', '.join(patterns)}. "
            "Look into the quarantine of the ingest stage, or give the run more data."
        )
    items = Items(pixels=pixels.tensor(), label_id=np.concatenate(label_id), sha256=tuple(sha256))
    progress.report("note", text=f"{len(items)} images in the {split} split")
    return items


def raw_batches(patterns: Sequence[str], transform_output: Any) -> tf.data.Dataset:
    """Returns batches as the transform graph gives them.

    Args:
        patterns: glob patterns of TFRecord files; those ending in `.gz` are compressed.
        transform_output: a `tft.TFTransformOutput`.

    Returns:
        A dataset of dictionaries: `pixels` uint8 `[batch, height, width, 3]`, `reason` string, `label_id` int64 and
        `sha256` string `[batch]`.
    """
    outputs = (features.PIXELS, features.REASON, features.LABEL_ID)
    transform = TransformGraph(transform_output, (features.IMAGE, features.LABEL_ID), outputs)
    digest = {features.SHA256: tf.io.FixedLenFeature([], tf.string, default_value="")}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def transformed(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses and transforms serialized Examples."""
        outputs = transform(tf.io.parse_example(examples, transform.raw_spec))
        return {
            features.PIXELS: tf.cast(outputs[features.PIXELS], tf.uint8),
            features.REASON: outputs[features.REASON],
            features.LABEL_ID: outputs[features.LABEL_ID],
            **tf.io.parse_example(examples, digest),
        }

    return _frugal(_records(patterns).batch(READ_BATCH).map(transformed).prefetch(1))


def digests(patterns: Sequence[str]) -> list[str]:
    """Returns the SHA-256 of every item in hexadecimal digits, in the order of the files; images are not decoded.

    Args:
        patterns: glob patterns of TFRecord files; those ending in `.gz` are compressed. Without any file: none.
    """
    if not any(tf.io.gfile.glob(pattern) for pattern in patterns):
        return []
    spec = {features.SHA256: tf.io.FixedLenFeature([], tf.string, default_value="")}
    batches = _frugal(_records(patterns).batch(READ_BATCH).map(lambda batch: tf.io.parse_example(batch, spec)))
    return [digest.decode() for batch in batches for digest in batch[features.SHA256].numpy()]


def training_batches(items: Items, classes: int, settings: TrainSettings) -> tf.data.Dataset:
    """Returns endless shuffled, augmented training batches; an epoch's last, smaller batch is left out.

    Args:
        items: the training split.
        classes: how many.
        settings: `batch_size`, `augment`, `crop`, `class_weights` and `seed` are read here.

    Returns:
        A dataset of float32 `[batch, height, width, 3]` (sides of the window), one-hot float32 `[batch, classes]`
        and weight `[batch]`.
    """
    size = min(settings.batch_size, len(items))
    pixels, label_id = tf.convert_to_tensor(items.pixels), tf.constant(items.label_id)
    weights = tf.constant(class_weights(items.label_id, classes) if settings.class_weights else np.ones(classes, "f4"))

    def batch(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Gathers, changes and labels one batch."""
        images = tf.ensure_shape(tf.gather(pixels, index), [size, *items.pixels.shape[1:]])
        label = tf.gather(label_id, index)
        images = tf.cast(augment(crop(images, settings.crop), settings.augment), tf.float32)
        return images, tf.one_hot(label, classes), tf.gather(weights, label)

    order = tf.data.Dataset.range(len(items)).shuffle(len(items), seed=settings.seed).batch(size, drop_remainder=True)
    return _frugal(order.repeat().map(tf.autograph.experimental.do_not_convert(batch)).prefetch(2))


def evaluation_batches(items: Items, classes: int, batch_size: int) -> tf.data.Dataset:
    """Returns every item once, in order, unchanged: float32 `[batch, height, width, 3]`, one-hot `[batch, classes]`."""
    pixels, label_id = tf.convert_to_tensor(items.pixels), tf.constant(items.label_id)

    def batch(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Gathers, changes and labels one batch."""
        return tf.cast(tf.gather(pixels, index), tf.float32), tf.one_hot(tf.gather(label_id, index), classes)

    order = tf.data.Dataset.range(len(items)).batch(batch_size)
    return _frugal(order.map(tf.autograph.experimental.do_not_convert(batch)).prefetch(1))


def _frugal(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Leaves out two services of TensorFlow that cost more than they give here.

    The rewriting of the data set copies every tensor its maps refer to. The tuner, which has nothing to tune, sleeps
    for ever longer, up to a minute, and whoever is done with the data set waits for it to wake.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return batches.with_options(options)


def class_weights(label_id: np.ndarray, classes: int) -> np.ndarray:
    """Weighs each class by the inverse of its share.

    Args:
        label_id: int64 `[items]`.
        classes: how many.

    Returns:
        float32 `[classes]`; over the items they average to 1. A class without items weighs 0.
    """
    counts = np.bincount(label_id, minlength=classes)
    present = np.maximum(1, np.count_nonzero(counts))
    return np.where(counts > 0, counts.sum() / (present * np.maximum(counts, 1)), 0).astype(np.float32)


def _records(patterns: Sequence[str]) -> tf.data.Dataset:
    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    compression = "GZIP" if files and files[0].endswith(".gz") else ""
    return tf.data.TFRecordDataset(files, compression_type=compression)


def _count(patterns: Sequence[str]) -> int:
    return int(_frugal(_records(patterns)).reduce(np.int64(0), lambda count, _: count + 1))


class _Pixels:
    """Fills one tensor batch by batch; joining the batches at the end would take the memory twice."""

    def __init__(self, items: int) -> None:
        self._items = items
        self._filled = 0
        self._memory = np.empty(0, np.uint8)

    def append(self, batch: np.ndarray) -> None:
        """Adds the next images."""
        if not self._filled:
            self._memory = _aligned((self._items, *batch.shape[1:]))
        end = self._filled + len(batch)
        self._memory[self._filled : end] = batch
        self._filled = end

    def tensor(self) -> tf.Tensor:
        """Returns all that was added, without copying it."""
        return tf.experimental.dlpack.from_dlpack(self._memory[: self._filled].__dlpack__())  # the same memory


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Makes an uninitialised uint8 array at an address that TensorFlow can take over."""
    size = math.prod(shape)
    memory = np.empty(size + _ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT_BYTES
    return memory[start : start + size].reshape(shape)
