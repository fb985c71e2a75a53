"""A toy land-cover test split, and toy models of the SavedModel contract that answer about it.

The "image" of an item is the text of ten numbers, which a model takes as logits; anything else is unreadable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from applications import discovery
from schemas import features

CLASSES = discovery.load("satellite/landcover").classes
ITEMS = 200
UNREADABLE = 7  # this item's image


@pytest.fixture(scope="session")
def landcover_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Examples folder with a test split of 200 items in 100 groups, in two compressed shards."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("examples")
    (folder / "Split-test").mkdir()
    rng = np.random.default_rng(5)
    labels = np.arange(ITEMS) % len(CLASSES)
    logits = rng.normal(size=(ITEMS, len(CLASSES)))
    logits[np.arange(ITEMS), labels] += 3.5
    for shard in range(2):
        path = str(folder / "Split-test" / f"data_tfrecord-0000{shard}-of-00002.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for item in range(shard, ITEMS, 2):
                image = "torn" if item == UNREADABLE else " ".join(f"{number:.5f}" for number in logits[item])
                writer.write(_example(item, CLASSES[labels[item]], int(labels[item]), image))
    return folder


@pytest.fixture(scope="session")
def landcover_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Model artifact; right on most items."""
    return _export(tmp_path_factory.mktemp("model"), favour=0.0, classes=CLASSES)


@pytest.fixture(scope="session")
def weak_landcover_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but it prefers the first class."""
    return _export(tmp_path_factory.mktemp("weak"), favour=3.0, classes=CLASSES)


@pytest.fixture(scope="session")
def foreign_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same classes in another order."""
    return _export(tmp_path_factory.mktemp("foreign"), favour=0.0, classes=CLASSES[::-1])


def _example(item: int, label: str, label_id: int, image: str) -> bytes:
    import tensorflow as tf

    texts = {
        features.IMAGE: image,
        features.LABEL: label,
        features.GROUP: f"scene {item // 2:03d}",
        features.ORIGIN: f"{label}/{item}.jpg",
        features.SHA256: f"{item:016x}{0:048x}",  # told apart by the digits that `serving.learnt_from` keeps
        features.BRIGHTNESS_BAND: ("dark", "bright")[item // 2 % 2],
    }
    fields = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()])) for name, text in texts.items()
    }
    fields[features.LABEL_ID] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label_id]))
    fields[features.BRIGHTNESS] = tf.train.Feature(float_list=tf.train.FloatList(value=[0.3]))
    return bytes(tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString())


def _export(folder: Path, *, favour: float, classes: tuple[str, ...]) -> Path:
    import tensorflow as tf

    class Toy(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = tf.Variable([favour] + [0.0] * (len(classes) - 1))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serve(self, examples: Any) -> dict[str, Any]:
            image = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})
            image = image[features.IMAGE]
            is_read = tf.strings.regex_full_match(image, "[-0-9. ]+")
            numbers = tf.strings.split(tf.where(is_read, image, " ".join(["0"] * len(classes)))).to_tensor("0")
            logits = tf.reshape(tf.strings.to_number(numbers), [-1, len(classes)]) + self.bias
            probabilities = tf.where(is_read[:, tf.newaxis], tf.nn.softmax(logits), 0.0)
            best = tf.argmax(probabilities, axis=1)
            return {
                "probabilities": probabilities,
                "classes": tf.tile(tf.constant([classes]), [tf.size(image), 1]),
                "label": tf.where(is_read, tf.gather(tf.constant(classes), best), ""),
                "label_id": tf.where(is_read, best, -1),
                "score": tf.reduce_max(probabilities, axis=1),
                "reason": tf.where(is_read, "", "not an image"),
            }

    module = Toy()
    tf.saved_model.save(module, str(folder / "Format-Serving"), signatures={"serving_default": module.serve})
    return folder
