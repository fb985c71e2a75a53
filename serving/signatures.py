"""The SavedModel that everything after training uses: raw inputs in, answers out, the transform graph inside."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf

from schemas import features

EXAMPLES = tf.TensorSpec([None], tf.string, name="examples")
IMAGE = tf.TensorSpec([None], tf.string, name="image")


class Transform(Protocol):
    """What `transform.graph.TransformGraph` gives: raw features to transformed ones, and how the raw ones are read."""

    raw_spec: Mapping[str, Any]

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Transforms a batch."""


class Exported(tf.Module):
    """A trained network with its transform graph, as two functions from raw inputs to answers.

    The answers, for a batch of any size: `probabilities` float32 `[batch, classes]`; `classes` string
    `[batch, classes]`, their names in order; `label` string, `label_id` int64 and `score` float32 `[batch]`, the best
    class, its place and its probability; `reason` string `[batch]`. Where an image cannot be read, `reason` says why,
    the probabilities and the score are 0, the label is empty and its place −1.
    """

    def __init__(self, network: keras.Model, transform: Transform, classes: Sequence[str]) -> None:
        """Takes the parts.

        Args:
            network: from float32 pixels `[batch, height, width, 3]`, 0 to 255, to logits `[batch, classes]`.
            transform: from the raw feature `image` to `pixels` and `reason`.
            classes: names in the order of the logits.
        """
        super().__init__()
        self.transform = transform
        self.variables_of_network = [variable.value for variable in network.variables]  # all a server needs of it
        self._network = functools.partial(network, training=False)
        self._classes = tuple(classes)

    @tf.function(input_signature=[EXAMPLES], autograph=False)
    def predict_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers for serialized `tf.train.Example`s; only their feature `image` is read."""
        raw = tf.io.parse_example(examples, self.transform.raw_spec)
        return self.predict_image(tf.reshape(raw[features.IMAGE], [-1]))

    @tf.function(input_signature=[IMAGE], autograph=False)
    def predict_image(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers for encoded images, JPEG or PNG."""
        shape = [-1, *self.transform.raw_spec[features.IMAGE].shape]
        transformed = self.transform({features.IMAGE: tf.reshape(image, shape)})
        is_readable = transformed[features.REASON] == b""
        probabilities = self._probabilities(transformed[features.PIXELS])
        probabilities = tf.where(is_readable[:, tf.newaxis], probabilities, 0.0)
        best = tf.argmax(probabilities, axis=1)
        classes = tf.constant(self._classes)
        rows = tf.stack([tf.size(best), len(self._classes)])
        return {
            "probabilities": probabilities,
            "classes": tf.broadcast_to(classes, rows),
            "label": tf.where(is_readable, tf.gather(classes, best), ""),
            "label_id": tf.where(is_readable, best, tf.constant(-1, tf.int64)),
            "score": tf.reduce_max(probabilities, axis=1),
            "reason": transformed[features.REASON],
        }

    def _probabilities(self, pixels: tf.Tensor) -> tf.Tensor:
        count = tf.shape(pixels)[0]
        blank = tf.zeros([1, *pixels.shape[1:]])  # oneDNN's convolutions fail on a batch of none
        pixels = tf.cond(count > 0, lambda: pixels, lambda: blank)
        pixels = tf.ensure_shape(pixels, [None, *blank.shape[1:]])
        return tf.nn.softmax(self._network(pixels))[:count]


def export(network: keras.Model, transform: Transform, classes: Sequence[str], folder: str) -> None:
    """Writes a SavedModel with the signatures `serving_default` and `predict_image`.

    Args:
        network: from float32 pixels `[batch, height, width, 3]`, 0 to 255, to logits `[batch, classes]`.
        transform: from the raw feature `image` to `pixels` and `reason`; a `tf.Module`, which is saved with the rest.
        classes: names in the order of the logits.
        folder: where to; made if missing.
    """
    exported = Exported(network, transform, classes)
    tf.saved_model.save(
        exported,
        folder,
        signatures={"serving_default": exported.predict_examples, "predict_image": exported.predict_image},
    )
