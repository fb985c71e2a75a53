"""Statistics and validation, as the pipeline wires them: good data pass, anomalies are said in words and obeyed."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts

from applications.errors import StageError
from components import schema as schema_module
from components.statistics import Executor as StatisticsExecutor
from components.validation import Executor, described


def schema_artifact(folder: Path, schema: schema_pb2.Schema) -> Any:
    artifact = standard_artifacts.Schema()
    artifact.uri = str(folder)
    folder.mkdir()
    (folder / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    artifact.set_string_custom_property("source", "schemas/test/chips.pbtxt")
    return artifact


@pytest.fixture(scope="module")
def statistics(ingested: Any, chips: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Statistics of the small ingest."""
    root = tmp_path_factory.mktemp("statistics")
    empty = schema_pb2.Schema()
    empty.feature.add(name="image", type=schema_pb2.BYTES).image_domain.SetInParent()
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri = str(root / "statistics")
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=unused"], tmp_dir=str(root)
    )
    inputs = {"examples": [ingested.examples], "schema": [schema_artifact(root / "schema", empty)]}
    StatisticsExecutor(context).Do(inputs, {"statistics": [artifact]}, {"code_version": ""})
    return artifact


@pytest.fixture(scope="module")
def fitting(statistics: Any, chips: Any) -> schema_pb2.Schema:
    train = tfdv.load_stats_binary(f"{statistics.uri}/Split-train/FeatureStats.pb")
    return text_format.Parse(schema_module.proposal(train, chips), schema_pb2.Schema())


def validate(statistics: Any, schema: schema_pb2.Schema, out: Path, policy: str) -> dict[str, Any]:
    anomalies = standard_artifacts.ExampleAnomalies()
    anomalies.uri = str(out / "anomalies")
    properties = {
        "exclude_splits": "[]",
        "settings": json.dumps({"validate": {"on_anomaly": policy}}),
        "code_version": "",
    }
    inputs = {"statistics": [statistics], "schema": [schema_artifact(out / "schema", schema)]}
    Executor().Do(inputs, {"anomalies": [anomalies]}, properties)
    found: dict[str, Any] = json.loads((out / "anomalies" / "anomalies.json").read_text())
    return found


def spoilt(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """A schema that the small pictures do not fit in three ways."""
    made = schema_pb2.Schema()
    made.CopyFrom(schema)
    by_name = {feature.name: feature for feature in made.feature}
    by_name["label"].string_domain.value.remove("water")
    by_name["width_px"].int_domain.max = 16
    made.feature.remove(by_name["contrast"])
    return made


def test_the_statistics_hold_what_the_schema_asks_for(statistics: Any) -> None:
    train = tfdv.load_stats_binary(f"{statistics.uri}/Split-train/FeatureStats.pb").datasets[0]
    by_name = {feature.path.step[0]: feature for feature in train.features}
    assert by_name["image"].bytes_stats.common_stats.num_non_missing == train.num_examples
    assert {value.value for value in by_name["label"].string_stats.top_values} == {"grass", "sand", "water"}


def test_data_that_fit_pass_with_an_empty_list(statistics: Any, fitting: schema_pb2.Schema, tmp_path: Path) -> None:
    assert validate(statistics, fitting, tmp_path, "stop") == {"anomalies": [], "policy": "stop", "stopped": False}


def test_anomalies_stop_the_run_with_a_sentence_each(
    statistics: Any, fitting: schema_pb2.Schema, tmp_path: Path
) -> None:
    with pytest.raises(StageError) as stop:
        validate(statistics, spoilt(fitting), tmp_path, "stop")
    lines = str(stop.value).splitlines()
    assert lines[0] == "9 anomalies were found in the data:"
    assert lines[-1] == "To go on in spite of them: --set validate.on_anomaly=warn"
    label = next(line for line in lines if "'train', feature 'label'" in line)
    assert "water" in label
    assert label.endswith("Mend these values, or add them to the feature's string_domain in schemas/test/chips.pbtxt.")
    assert any("feature 'width_px'" in line and "raise the domain's max" in line for line in lines)
    assert any("feature 'contrast'" in line and "Describe it in schemas/test/chips.pbtxt" in line for line in lines)


def test_anomalies_only_warn_where_the_policy_says_so(
    statistics: Any, fitting: schema_pb2.Schema, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found = validate(statistics, spoilt(fitting), tmp_path, "warn")
    notes = [record.progress["text"] for record in caplog.records if hasattr(record, "progress")]
    assert notes[0].startswith("9 anomalies were found in the data, passed on as asked; the first: Split '")
    assert found["stopped"] is False
    kinds = {(anomaly["feature"], anomaly["kind"]) for anomaly in found["anomalies"]}
    assert kinds == {
        ("label", "ENUM_TYPE_UNEXPECTED_STRING_VALUES"),
        ("width_px", "INT_TYPE_BIG_INT"),
        ("contrast", "SCHEMA_NEW_COLUMN"),
    }
    assert {anomaly["split"] for anomaly in found["anomalies"]} == {"train", "validation", "test"}
    assert found["anomalies"][0]["sentence"] in caplog.text


def test_a_missing_image_is_an_anomaly(statistics: Any, fitting: schema_pb2.Schema, tmp_path: Path) -> None:
    made = schema_pb2.Schema()
    made.CopyFrom(fitting)
    made.feature.add(name="depth", type=schema_pb2.BYTES).presence.min_count = 1
    with pytest.raises(StageError, match=r"feature 'depth': .*Make the source write it, or take it out of"):
        validate(statistics, made, tmp_path, "stop")


def test_a_split_without_data_is_said_as_such() -> None:
    found = described("test", anomalies_pb2.Anomalies(data_missing=True), "the schema")
    assert (
        found[0]["sentence"] == "Split 'test' holds no examples. Give more data, or deal anew with another split.seed."
    )
