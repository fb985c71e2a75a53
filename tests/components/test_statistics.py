from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts

from components.statistics import Executor, Sums

ARGUMENTS = ["--runner=FnApiRunner", "--sdk_container_image=unused"]


def by_name(found: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, Any]:
    """Returns each feature's statistics by its name, all but the histograms, whose buckets hang on the batches."""
    [dataset] = found.datasets
    features = {}
    for feature in dataset.features:
        feature.ClearField("custom_stats")
        features[feature.path.step[0]] = feature
    return features


@pytest.fixture(scope="module")
def schema() -> schema_pb2.Schema:
    described = schema_pb2.Schema()
    described.feature.add(name="image", type=schema_pb2.BYTES).image_domain.SetInParent()
    return described


@pytest.fixture(scope="module")
def ours(ingested: Any, schema: schema_pb2.Schema, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("statistics")
    described = standard_artifacts.Schema()
    described.uri = str(root / "schema")
    (root / "schema").mkdir()
    (root / "schema" / "schema.pbtxt").write_text(str(schema))
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri = str(root / "statistics")
    context = BaseBeamExecutor.Context(beam_pipeline_args=ARGUMENTS, tmp_dir=str(root))
    inputs = {"examples": [ingested.examples], "schema": [described]}
    Executor(context).Do(inputs, {"statistics": [artifact]}, {"code_version": ""})
    return Path(artifact.uri)


def test_the_sums_are_those_of_tfdv(ours: Path, ingested: Any, schema: schema_pb2.Schema) -> None:
    theirs = by_name(
        tfdv.generate_statistics_from_tfrecord(
            f"{ingested.examples.uri}/Split-train/*",
            stats_options=Sums.options(schema),
            pipeline_options=PipelineOptions(ARGUMENTS),
        )
    )
    found = by_name(tfdv.load_stats_binary(str(ours / "Split-train" / "FeatureStats.pb")))
    assert sorted(found) == sorted(theirs)
    for name, feature in theirs.items():
        assert found[name] == feature, name


def test_every_split_has_its_file(ours: Path) -> None:
    assert sorted(path.parent.name for path in ours.glob("*/FeatureStats.pb")) == [
        "Split-test",
        "Split-train",
        "Split-validation",
    ]
