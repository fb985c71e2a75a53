"""Takes Examples that are TFRecords already, through TFX's own ImportExampleGen."""

from __future__ import annotations

import zlib

import tensorflow as tf
from google.protobuf.message import DecodeError
from tfx.components import ImportExampleGen
from tfx.proto import example_gen_pb2

from applications.errors import DataError, DataPathError
from applications.settings import SplitSettings
from components.ingest.records import first_record, raw
from schemas import features

_BUCKETS = 1000  # fractions of the splits are kept to a thousandth
_NEEDED = (features.IMAGE, features.LABEL)


def import_example_gen(data_path: str, split: SplitSettings) -> ImportExampleGen:
    """Makes the node that imports ready TFRecords, plain or gzip, with its output `examples`.

    Where the folder holds `train`, `validation` and `test` (also as `Split-train`, …), they are the splits. Else the
    records are dealt out by a hash of the feature `group`, or of `sha256` where there is none; `split.seed` has no
    part in it. Checked here, on the first record: it is an Example with an image and a label. The schema
    (stage validate) and the split audit check the rest; nothing is quarantined.

    Args:
        data_path: the folder; path or URI.
        split: fractions of the splits, unless the folder has them.

    Raises:
        DataPathError: there is no such folder, or no file in it.
        DataError: the first record is no Example, or lacks what is needed.
    """
    if not tf.io.gfile.isdir(data_path):
        raise DataPathError(
            f"{data_path} is no folder. With ingest.format=tfrecord, --data names a folder of TFRecord files."
        )
    patterns = _split_patterns(data_path)
    if patterns:
        for pattern in patterns.values():
            _first_example(data_path, pattern)
        return ImportExampleGen(input_base=data_path, input_config=_input(patterns))
    first = _first_example(data_path, "*")
    key = next((name for name in (features.GROUP, features.SHA256) if raw(first, name)), None)
    if key is None:
        raise DataError(
            f"the records of {data_path} must hold {features.GROUP!r} or {features.SHA256!r}, "
            f"by which they are split; the first has {_keys(first)}. "
            f"Add one, or sort the files into the folders {', '.join(features.SPLITS)}."
        )
    return ImportExampleGen(input_base=data_path, input_config=_input({"all": "*"}), output_config=_output(split, key))


def _split_patterns(data_path: str) -> dict[str, str]:
    """Split → file pattern where all three folders are there, else nothing."""
    for prefix in ("", "Split-"):
        if all(tf.io.gfile.isdir(f"{data_path}/{prefix}{name}") for name in features.SPLITS):
            return {name: f"{prefix}{name}/*" for name in features.SPLITS}
    return {}


def _input(patterns: dict[str, str]) -> example_gen_pb2.Input:
    splits = [example_gen_pb2.Input.Split(name=name, pattern=pattern) for name, pattern in patterns.items()]
    return example_gen_pb2.Input(splits=splits)


def _output(split: SplitSettings, key: str) -> example_gen_pb2.Output:
    train, validation = round(split.train * _BUCKETS), round(split.validation * _BUCKETS)
    buckets = dict(zip(features.SPLITS, (train, validation, _BUCKETS - train - validation), strict=True))
    splits = [example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=count) for name, count in buckets.items()]
    return example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=splits, partition_feature_name=key))


def _first_example(data_path: str, pattern: str) -> tf.train.Example:
    """Reads the first record and checks that it is an Example of an image."""
    paths = sorted(path for path in tf.io.gfile.glob(f"{data_path}/{pattern}") if not tf.io.gfile.isdir(path))
    if not paths:
        raise DataPathError(f"{data_path} holds no file {pattern}. Put TFRecord files there.")
    try:
        example = tf.train.Example.FromString(first_record(paths[0]))
    except (tf.errors.OpError, DecodeError, ValueError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{paths[0]} must be a TFRecord file of tf.train.Example (gzip if it ends in .gz), but it cannot be read: "
            f"{str(error).splitlines()[0].rstrip('. ')}. Write it anew, or read raw files with --set ingest.format=raw."
        ) from error
    missing = [key for key in _NEEDED if not raw(example, key)]
    if missing:
        raise DataError(
            f"the first record of {paths[0]} must hold {' and '.join(_NEEDED)}, "
            f"but lacks {' and '.join(missing)}; it has {_keys(example)}. "
            "See schemas/ for the features of an Example."
        )
    return example


def _keys(example: tf.train.Example) -> str:
    return ", ".join(sorted(example.features.feature)) or "nothing"
