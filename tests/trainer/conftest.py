"""A toy problem: three classes of stripes that a network tells apart in seconds, in memory and as TFRecords."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
import types

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from applications.settings import TrainSettings
from schemas import features
from trainer.input import Items
from transform.image import preprocessing_fn

SIDE = 16  # pixels
IMAGE = {"image": {"height_px": SIDE, "width_px": SIDE}}


def _toy(count: int, seed: int) -> Items:
    random = np.random.default_rng(seed)
    label_id = np.arange(count) % 3
    pixels = random.integers(90, 166, (count, SIDE, SIDE, 3))
    pixels[label_id == 1, ::2] += 60  # lying stripes
    pixels[label_id == 2, :, ::2] += 60  # standing stripes
    sha256 = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels)
    return Items(pixels=pixels.astype(np.uint8), label_id=label_id, sha256=sha256)


@pytest.fixture(scope="session")
def toy():
    """Returns a function from a count and a seed to `Items`."""
    return _toy


@pytest.fixture(scope="session")
def quick() -> TrainSettings:
    """Settings under which the toy is learnt in seconds."""
    return TrainSettings(
        width=8,
        epochs=3,
        batch_size=16,
        learning_rate=5e-3,
        dropout=0.0,
        label_smoothing=0.0,
        augment=(),
        crop=1.0,
        patience=9,
    )


@pytest.fixture(scope="session")
def transform_graph(tmp_path_factory) -> str:
    """A real transform graph, as the Transform component writes it."""
    folder = tmp_path_factory.mktemp("transform")
    spec = {
        features.IMAGE: tf.io.FixedLenFeature([1], tf.string),
        features.LABEL_ID: tf.io.FixedLenFeature([1], tf.int64),
    }
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    function = functools.partial(preprocessing_fn, custom_config=IMAGE)
    with tft_beam.Context(temp_dir=str(folder / "tmp")), beam.Pipeline(runner="FnApiRunner") as pipeline:
        rows = pipeline | beam.Create([{features.IMAGE: [b""], features.LABEL_ID: [0]}])
        graph = (rows, metadata) | tft_beam.AnalyzeDataset(function)
        _ = graph | tft_beam.WriteTransformFn(str(folder / "graph"))
        _ = metadata | tft_beam.WriteMetadata(str(folder / "graph" / "metadata"), pipeline)
    return str(folder / "graph")


def _write(path: pathlib.Path, items: Items) -> str:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for pixels, label_id, sha256 in zip(items.pixels, items.label_id, items.sha256, strict=True):
            example = tf.train.Example()
            feature = example.features.feature
            feature[features.IMAGE].bytes_list.value.append(tf.io.encode_png(pixels).numpy())
            feature[features.LABEL_ID].int64_list.value.append(label_id)
            feature[features.SHA256].bytes_list.value.append(sha256.encode())
            writer.write(example.SerializeToString())
    return str(path)


@pytest.fixture(scope="session")
def write_records():
    """Returns a function that writes `Items` as a compressed TFRecord file and returns its path."""
    return _write


@pytest.fixture(scope="session")
def fn_args(tmp_path_factory, transform_graph, quick) -> types.SimpleNamespace:
    """What TFX hands to `run_fn`, over 96 training and 48 validation toys."""
    folder = tmp_path_factory.mktemp("trainer")
    config = {"application": "satellite/landcover", "train": dataclasses.asdict(quick), **IMAGE}
    return types.SimpleNamespace(
        custom_config=config,
        hyperparameters=None,
        transform_graph_path=transform_graph,
        train_files=[_write(folder / "train.gz", _toy(96, 1))],
        eval_files=[_write(folder / "validation.gz", _toy(48, 2))],
        serving_model_dir=str(folder / "model"),
        model_run_dir=str(folder / "run"),
        working_dir=str(folder / "working"),
    )
