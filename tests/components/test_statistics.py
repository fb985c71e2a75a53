"""The statistics are those of TFX's StatisticsGen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.statistics_gen import executor as tfx_statistics
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import Channel, standard_artifacts

from components.ingest.records import write_records
from components.statistics import Executor, Statistics
from components.validation import described

OPTIONS = tfdv.StatsOptions(
    num_top_values=20,
    num_rank_histogram_buckets=1000,
    num_values_histogram_buckets=2,
    use_sketch_based_topk_uniques=True,
)


def example(number: int) -> bytes:
    made = tf.train.Example()
    made.features.feature["image"].bytes_list.value.append(b"x" * number)
    made.features.feature["label"].bytes_list.value.append(b"grass" if number % 3 else b"sand")
    if number % 4:
        made.features.feature["brightness"].float_list.value.append(number / 8)
    made.features.feature["width_px"].int64_list.value.append(number)
    return bytes(made.SerializeToString())


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, list[Any]]:
    """Examples of two splits, one of them in two files and one without items; and a schema."""
    examples, schema = standard_artifacts.Examples(), standard_artifacts.Schema()
    examples.uri, schema.uri = str(tmp_path / "examples"), str(tmp_path / "schema")
    examples.split_names = '["train", "test"]'
    examples.span = 3
    for split, shard, numbers in (("train", 0, range(30)), ("train", 1, range(30, 50)), ("test", 0, range(0))):
        path = f"{examples.uri}/Split-{split}/data_tfrecord-0000{shard}-of-00002.gz"
        write_records(path, (example(number) for number in numbers))
    described_schema = schema_pb2.Schema()
    described_schema.feature.add(name="image", type=schema_pb2.BYTES).image_domain.SetInParent()
    Path(schema.uri).mkdir()
    (Path(schema.uri) / "schema.pbtxt").write_text(str(described_schema))
    return {"examples": [examples], "schema": [schema]}


def run(executor: Any, inputs: dict[str, list[Any]], folder: Path, **properties: str) -> Any:
    """Returns the artifact that an executor makes."""
    made = standard_artifacts.ExampleStatistics()
    made.uri = str(folder)
    arguments = ["--runner=FnApiRunner", "--sdk_container_image=none"]
    executor(BaseBeamExecutor.Context(beam_pipeline_args=arguments)).Do(inputs, {"statistics": [made]}, properties)
    return made


def load(statistics: Any, split: str) -> Any:
    (found,) = tfdv.load_stats_binary(f"{statistics.uri}/Split-{split}/FeatureStats.pb").datasets
    return found


def test_every_feature_has_what_tfx_finds(inputs: dict[str, list[Any]], tmp_path: Path) -> None:
    inputs["examples"][0].split_names = '["train"]'
    ours = load(run(Executor, inputs, tmp_path / "ours", code_version=""), "train")
    options = OPTIONS.to_json()
    theirs = load(run(tfx_statistics.Executor, inputs, tmp_path / "theirs", stats_options_json=options), "train")
    assert ours.num_examples == theirs.num_examples == 50
    assert [feature.path for feature in ours.features] == [feature.path for feature in theirs.features]
    for one, other in zip(ours.features, theirs.features, strict=True):
        for each in (one, other):  # a sum of floats depends on its order
            each.num_stats.std_dev = round(each.num_stats.std_dev, 9)
            each.num_stats.mean = round(each.num_stats.mean, 9)
        assert one == other


def test_a_split_without_items_has_statistics_that_say_so(inputs: dict[str, list[Any]], tmp_path: Path) -> None:
    statistics = run(Executor, inputs, tmp_path / "ours", code_version="")
    assert load(statistics, "test").num_examples == 0
    found = tfdv.load_stats_binary(f"{statistics.uri}/Split-test/FeatureStats.pb")
    schema = schema_pb2.Schema()
    schema.feature.add(name="label", type=schema_pb2.BYTES)
    (anomaly,) = described("test", tfdv.validate_statistics(found, schema), "s.pbtxt")
    assert anomaly["sentence"].startswith("Split 'test' holds no examples.")


def test_the_artifact_has_the_splits_and_the_span_of_the_examples(inputs: dict[str, list[Any]], tmp_path: Path) -> None:
    statistics = run(Executor, inputs, tmp_path / "ours", code_version="")
    assert statistics.splits == ["train", "test"]
    assert statistics.span == 3


def test_the_node_takes_the_digest_of_its_code() -> None:
    channels = {"examples": standard_artifacts.Examples, "schema": standard_artifacts.Schema}
    made = Statistics(**{name: Channel(type=kind) for name, kind in channels.items()}, code_version="abc")
    assert made.exec_properties == {"code_version": "abc"}
    assert list(made.outputs) == ["statistics"]
