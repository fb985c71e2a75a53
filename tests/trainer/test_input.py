"""From records to batches."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from applications.errors import StageError
from schemas import features
from trainer.input import class_weights, evaluation_batches, load_items, training_batches


def test_records_come_back_as_they_were_written(tmp_path, toy, write_records, transform_graph) -> None:
    items = toy(70, 5)
    path = write_records(tmp_path / "items.gz", items)
    loaded = load_items([path], tft.TFTransformOutput(transform_graph), "train")
    np.testing.assert_array_equal(loaded.pixels, items.pixels)
    assert loaded.label_id.tolist() == items.label_id.tolist()
    assert loaded.sha256 == items.sha256


def test_unreadable_images_are_left_out_with_a_warning(tmp_path, caplog, transform_graph) -> None:
    path = str(tmp_path / "items.gz")
    good = tf.io.encode_png(np.full((16, 16, 3), 5, np.uint8)).numpy()
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for image in (good, b"junk"):
            example = tf.train.Example()
            example.features.feature[features.IMAGE].bytes_list.value.append(image)
            example.features.feature[features.LABEL_ID].int64_list.value.append(1)
            writer.write(example.SerializeToString())
    assert len(load_items([path], tft.TFTransformOutput(transform_graph), "train")) == 1
    assert "1 images of the train split are left out: not a JPEG or PNG image" in caplog.text


def test_a_split_without_items_says_what_to_do(tmp_path, transform_graph) -> None:
    with pytest.raises(StageError, match="the validation split must hold at least one readable image, got none in"):
        load_items([str(tmp_path / "none*.gz")], tft.TFTransformOutput(transform_graph), "validation")


def test_an_epoch_of_training_batches_holds_every_item_once(toy, quick) -> None:
    items = toy(64, 1)
    settings = dataclasses.replace(quick, class_weights=False)
    batches = list(training_batches(items, 3, settings).take(4))
    images = np.concatenate([batch[0] for batch in batches])
    assert images.dtype == np.float32
    assert sorted(images.sum(axis=(1, 2, 3))) == sorted(items.pixels.sum(axis=(1, 2, 3), dtype=float))
    assert np.concatenate([batch[1] for batch in batches]).sum(axis=0).tolist() == [22, 21, 21]


def test_the_same_seed_gives_the_same_order(toy, quick) -> None:
    first, second = (next(iter(training_batches(toy(64, 1), 3, quick)))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_split_smaller_than_a_batch_makes_one_smaller_batch(toy, quick) -> None:
    images, labels, weights = next(iter(training_batches(toy(5, 1), 3, quick)))
    assert (len(images), len(labels), len(weights)) == (5, 5, 5)


def test_evaluation_keeps_order_and_the_last_smaller_batch(toy) -> None:
    items = toy(10, 1)
    batches = list(evaluation_batches(items, 3, 4))
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in batches]), items.pixels)
    assert [len(batch[0]) for batch in batches] == [4, 4, 2]


def test_class_weights_average_to_one_over_the_items() -> None:
    label_id = np.array([0] * 6 + [1] * 3 + [3])
    weights = class_weights(label_id, 4)
    assert weights[label_id].mean() == pytest.approx(1)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])
