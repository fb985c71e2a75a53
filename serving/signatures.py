"""The SavedModel that everything after training uses: raw inputs in, answers out, the transform graph inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from schemas import features

EXAMPLES = tf.TensorSpec([None], tf.string, name="examples")
IMAGE = tf.TensorSpec([None], tf.string, name="image")


class Exported(tf.Module):
    """A trained network with its transform graph, as two functions from raw inputs to answers.

    The answers, for a batch of any size: `probabilities` float32 `[batch, classes]`; `classes` string
    `[batch, classes]`, their names in order; `label` string, `label_id` int64 and `score` float32 `[batch]`, the best
    class, its place and its probability; `reason` string `[batch]`. Where an image cannot be read, `reason` says why,
    the probabilities and the score are 0, the label is empty and its place −1.
    """

    def __init__(self, network: keras.Model, transform_output: Any, classes: Sequence[str]) -> None:
        """Takes the parts.

        Args:
            network: from float32 pixels `[batch, height, width, 3]`, 0 to 255, to logits `[batch, classes]`.
            transform_output: a `tft.TFTransformOutput`.
            classes: names in the order of the logits.
        """
        super().__init__()
        self.network = network
        self.transform = transform_output.transform_features_layer()
        self._image_spec = {features.IMAGE: transform_output.raw_feature_spec()[features.IMAGE]}
        self._classes = tuple(classes)

    @tf.function(input_signature=[EXAMPLES])
    def predict_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers for serialized `tf.train.Example`s; only their feature `image` is read."""
        return self._answer(tf.io.parse_example(examples, self._image_spec))

    @tf.function(input_signature=[IMAGE])
    def predict_image(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers for encoded images, JPEG or PNG."""
        shape = [-1, *self._image_spec[features.IMAGE].shape]
        return self._answer({features.IMAGE: tf.reshape(image, shape)})

    def _answer(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        transformed = self.transform(raw)
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
        return tf.nn.softmax(self.network(pixels, training=False))[:count]


def export(network: keras.Model, transform_output: Any, classes: Sequence[str], folder: str) -> None:
    """Writes a SavedModel with the signatures `serving_default` and `predict_image`.

    Args:
        network: from float32 pixels `[batch, height, width, 3]`, 0 to 255, to logits `[batch, classes]`.
        transform_output: a `tft.TFTransformOutput`.
        classes: names in the order of the logits.
        folder: where to; made if missing.
    """
    exported = Exported(network, transform_output, classes)
    tf.saved_model.save(
        exported,
        folder,
        signatures={"serving_default": exported.predict_examples, "predict_image": exported.predict_image},
    )
