"""The exported model: both signatures, and null answers for unreadable images."""

from __future__ import annotations

from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

from schemas import features
from serving import signatures
from transform.image import preprocessing_fn

CLASSES = ("dark", "light", "never")


class FakeTransform(tf.Module):
    """Stands in for `transform.graph.TransformGraph`: the same graph without Beam."""

    raw_spec: ClassVar = {features.IMAGE: tf.io.FixedLenFeature([1], tf.string)}

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Transforms a batch."""
        return preprocessing_fn(raw, {"image": {"height_px": 8, "width_px": 8}})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that tells dark from light, exported and loaded again."""
    images = keras.Input((8, 8, 3))
    level = keras.layers.GlobalAveragePooling2D()(images)
    logits = keras.layers.Dense(3)
    network = keras.Model(images, logits(level))
    logits.set_weights([np.array([[-0.1, 0.1, 0]] * 3), np.array([38.25, -38.25, -99])])
    folder = str(tmp_path_factory.mktemp("model"))
    signatures.export(network, FakeTransform(), CLASSES, folder)
    return tf.saved_model.load(folder)


def png(shade: int) -> bytes:
    """Returns a file of one shade, of another size than the network's."""
    return tf.io.encode_png(np.full((12, 10, 3), shade, np.uint8)).numpy()


def example(image: bytes, **others: bytes) -> bytes:
    """Returns a serialized Example with further features, as the Evaluator sends it."""
    record = tf.train.Example()
    for name, value in {features.IMAGE: image, **others}.items():
        record.features.feature[name].bytes_list.value.append(value)
    return record.SerializeToString()


def ask(model, images: list[bytes]) -> dict[str, np.ndarray]:
    """Sends images to `predict_image`."""
    outputs = model.signatures["predict_image"](tf.constant(images, tf.string))
    return {name: value.numpy() for name, value in outputs.items()}


def test_the_best_class_is_named_with_place_and_score(model) -> None:
    outputs = ask(model, [png(20), png(240)])
    assert outputs["label"].tolist() == [b"dark", b"light"]
    assert outputs["label_id"].tolist() == [0, 1]
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(outputs["score"], outputs["probabilities"].max(axis=1))
    assert outputs["classes"].tolist() == [[b"dark", b"light", b"never"]] * 2


def test_outputs_have_the_agreed_types(model) -> None:
    outputs = model.signatures["serving_default"](tf.constant([example(png(1))]))
    kinds = {name: value.dtype for name, value in outputs.items()}
    assert kinds == {
        "probabilities": tf.float32,
        "classes": tf.string,
        "label": tf.string,
        "label_id": tf.int64,
        "score": tf.float32,
        "reason": tf.string,
    }


def test_examples_with_a_label_are_answered_as_their_images_are(model) -> None:
    images = [png(20), b"junk", png(200)]
    examples = [example(image, label=b"light") for image in images]
    by_example = model.signatures["serving_default"](tf.constant(examples))
    for name, value in ask(model, images).items():
        np.testing.assert_array_equal(by_example[name], value)


def test_an_unreadable_image_gets_a_null_answer_and_its_neighbours_their_own(model) -> None:
    outputs = ask(model, [png(20), png(20)[:40], b"", png(240)])
    alone = ask(model, [png(20), png(240)])
    np.testing.assert_allclose(outputs["probabilities"][[0, 3]], alone["probabilities"], rtol=1e-5)
    assert outputs["probabilities"][[1, 2]].tolist() == [[0, 0, 0]] * 2
    assert outputs["label"].tolist() == [b"dark", b"", b"", b"light"]
    assert outputs["label_id"].tolist() == [0, -1, -1, 1]
    assert outputs["score"][[1, 2]].tolist() == [0, 0]
    assert outputs["reason"].tolist() == [b"", b"unreadable: damaged or truncated", b"not a JPEG or PNG image", b""]


def test_an_empty_batch_gets_an_empty_answer(model) -> None:
    outputs = ask(model, [])
    assert outputs["probabilities"].shape == (0, 3)
    assert outputs["label"].shape == (0,)
