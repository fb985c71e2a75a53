"""The container's entry point, with executors of a few lines."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tfx.dsl.components.base import base_beam_executor, base_executor
from tfx.types import artifact_utils

from applications.errors import ConfigError
from pipeline import kubeflow_entrypoint as entrypoint

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
AUDIT = {"schemaTitle": "components.SplitAudit"}
TEXT = {"schemaTitle": "tfx.String"}


class Copy(base_executor.BaseExecutor):
    """Copies what it is given, and tells it."""

    def Do(self, input_dict, output_dict, exec_properties):
        [examples], [made] = input_dict["examples"], output_dict["made"]
        seen = {
            "files": sorted(path.name for path in Path(examples.uri).iterdir()),
            "splits": artifact_utils.decode_split_names(examples.split_names),
            "span": examples.span,
            "blessed": examples.get_int_custom_property("blessed"),
            "share": examples.get_float_custom_property("share"),
            "note": examples.mlmd_artifact.custom_properties["note"].string_value,
            "classes": examples.get_json_value_custom_property("classes"),
            "properties": exec_properties,
        }
        Path(made.uri, "seen.json").write_text(json.dumps(seen))
        made.set_int_custom_property("is_clean", 1)
        made.set_string_custom_property("why", "calm")
        made.set_json_value_custom_property("list", [1.0])
        for said in output_dict.get("said", []):
            said.write("hello")


class Beam(base_beam_executor.BaseBeamExecutor):
    """Tells its Beam arguments."""

    def Do(self, input_dict, output_dict, exec_properties):
        Path(output_dict["made"][0].uri, "seen.json").write_text(json.dumps(self._beam_pipeline_args))


class Broken(base_executor.BaseExecutor):
    """Refuses."""

    def Do(self, input_dict, output_dict, exec_properties):
        raise ConfigError("the sea must be calm.")


@pytest.fixture
def module(monkeypatch):
    """Makes the executors importable, as a file in the image would be."""
    found = types.ModuleType("earthloop_test_executors")
    for executor in (Copy, Beam, Broken):
        setattr(found, f"{executor.__name__}Executor", executor)
    monkeypatch.setitem(sys.modules, found.__name__, found)
    return found.__name__


def words(executor, folder, *, metadata=None, parameters=None, outputs=None, spec=None):
    invocation = {
        "inputs": {
            "parameterValues": parameters or {},
            "artifacts": {
                "examples": {
                    "artifacts": [
                        {"name": "42", "uri": "minio://b/run/examples", "type": EXAMPLES, "metadata": metadata or {}}
                    ]
                }
            },
        },
        "outputs": {
            "artifacts": {"made": {"artifacts": [{"name": "made", "uri": "s3://b/run/made", "type": AUDIT}]}},
            "outputFile": str(folder / "said" / "output_metadata.json"),
            **(outputs or {}),
        },
    }
    said = ["--json_serialized_inputs_spec_args", json.dumps(spec)] if spec else []
    return ["--executor_class_path", executor, "--json_serialized_invocation_args", json.dumps(invocation), *said]


@pytest.fixture
def container(tmp_path, monkeypatch, module):
    """Runs a container's command line; returns what its executor saw and what was told to the launcher."""
    monkeypatch.setenv(entrypoint.STAGING_ROOT, str(tmp_path))

    def run(executor, *more, **told):
        assert entrypoint.main([*words(f"{module}.{executor}", tmp_path, **told), *more]) == 0
        seen = json.loads((tmp_path / "s3" / "b" / "run" / "made" / "seen.json").read_text())
        return seen, json.loads((tmp_path / "said" / "output_metadata.json").read_text())

    return run


@given(st.sampled_from(["minio://", "s3://", "gs://"]), st.from_regex(r"[a-z][a-z0-9/._-]{0,40}", fullmatch=True))
def test_every_uri_comes_back_from_its_local_path(scheme, key):
    uri = scheme + key
    for root in ("/", "/staging"):
        assert entrypoint.remote_uri(entrypoint.local_path(uri, root), root) == uri


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://b/k", "/minio/b/k"),
        ("s3://b/k", "/s3/b/k"),
        ("gs://b/k", "/gcs/b/k"),
        ("folder/data", "folder/data"),
        ("hdfs://b/k", "hdfs://b/k"),
    ],
)
def test_an_artifact_lies_where_the_launcher_puts_it(uri, path):
    assert entrypoint.local_path(uri) == path


def test_metadata_are_unwrapped_and_nulls_left_out():
    told = {"a": {"list": [1]}, "b": {"struct": {"list": 2}}, "c": None, "d": "x", "e": {"other": 1}}
    assert entrypoint.unwrapped(told) == {"a": [1], "b": {"list": 2}, "d": "x", "e": {"other": 1}}


def test_an_executor_sees_files_properties_and_parameters_as_in_a_local_run(container, tmp_path):
    folder = tmp_path / "minio" / "b" / "run" / "examples"
    (folder / "Split-train").mkdir(parents=True)
    metadata = {"span": 3, "split_names": '["train"]', "blessed": 1, "share": 0.5, "note": "n", "version": None}
    seen, said = container(
        "CopyExecutor",
        metadata={**metadata, "classes": {"list": ["a"]}},
        parameters={"count": 3.0, "rate": 2, "word": "tide", "absent": None, "status": {"state": "FAILED"}},
        spec={"parameters": {"rate": {"parameterType": "NUMBER_DOUBLE"}}},
    )
    assert seen == {
        "files": ["Split-train"],
        "splits": ["train"],
        "span": 3,
        "blessed": 1,
        "share": 0.5,
        "note": "n",
        "classes": ["a"],
        "properties": {"count": 3, "rate": 2.0, "word": "tide", "status": '{"state": "FAILED"}'},
    }
    [told] = said["artifacts"]["made"]["artifacts"]
    assert told["uri"] == "s3://b/run/made"
    assert told["metadata"]["is_clean"] == 1
    assert told["metadata"]["why"] == "calm"
    assert told["metadata"]["list"] == [1.0]
    assert told["metadata"]["tfx_version"]


def test_an_input_that_was_not_uploaded_is_an_empty_folder(container):
    seen, _ = container("CopyExecutor")
    assert seen["files"] == []


def test_the_value_of_an_artifact_becomes_an_output_parameter(container):
    outputs = {
        "artifacts": {
            "made": {"artifacts": [{"name": "made", "uri": "s3://b/run/made", "type": AUDIT}]},
            "said": {"artifacts": [{"name": "said", "uri": "s3://b/run/said", "type": TEXT}]},
        },
        "parameters": {"said": {"outputFile": "unused"}},
    }
    _, said = container("CopyExecutor", outputs=outputs)
    assert said["parameterValues"] == {"said": "hello"}


def test_what_is_no_argument_of_the_entry_point_is_beams(container):
    seen, _ = container("BeamExecutor", "--runner=FnApiRunner", "--sdk_container_image=none")
    assert seen[:2] == ["--runner=FnApiRunner", "--sdk_container_image=none"]


def test_the_driver_of_a_file_based_example_gen_runs_in_the_container(tmp_path, monkeypatch):
    monkeypatch.setenv(entrypoint.STAGING_ROOT, str(tmp_path))
    for span in (1, 2):
        (tmp_path / "data" / f"span-{span}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(tmp_path / "data" / f"span-{span}" / "a.tfrecord")) as file:
            file.write(tf.train.Example().SerializeToString())
    told = words(
        "tfx.components.example_gen.import_example_gen.executor.Executor",
        tmp_path,
        parameters={
            "input_base": str(tmp_path / "data"),
            "input_config": json.dumps({"splits": [{"name": "all", "pattern": "span-{SPAN}/*"}]}),
            "output_config": json.dumps({"splitConfig": {"splits": [{"name": "train", "hashBuckets": 1}]}}),
            "output_data_format": 6,
            "output_file_format": 5,
        },
        outputs={"artifacts": {"examples": {"artifacts": [{"uri": "gs://b/made", "type": EXAMPLES}]}}},
    )
    assert entrypoint.main([*told, "--runner=FnApiRunner", "--sdk_container_image=none"]) == 0
    said = json.loads((tmp_path / "said" / "output_metadata.json").read_text())
    [made] = said["artifacts"]["examples"]["artifacts"]
    assert made["metadata"]["span"] == 2
    assert made["metadata"]["split_names"] == '["train"]'
    assert "num_files:1" in made["metadata"]["input_fingerprint"]
    assert len(list((tmp_path / "gcs" / "b" / "made" / "Split-train").iterdir())) == 1


def test_the_last_line_of_a_failed_task_says_why(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(entrypoint.STAGING_ROOT, str(tmp_path))
    assert entrypoint.main(words(f"{module}.BrokenExecutor", tmp_path)) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "Error: the sea must be calm."


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("{module}.CopyExecutr", "no executor 'CopyExecutr' in {module}. Did you mean 'CopyExecutor'?"),
        ("no_such.module.Executor", r"no executor 'no_such.module.Executor': its module cannot be imported"),
        ("Executor", "no executor 'Executor': its module cannot be imported"),
    ],
)
def test_an_unknown_executor_is_named(module, path, text):
    with pytest.raises(ConfigError, match=text.format(module=module).replace("?", r"\?")):
        entrypoint.executor_class(path.format(module=module))


def test_an_unknown_type_of_artifact_is_named(tmp_path):
    told = {"artifacts": [{"uri": "s3://b/x", "type": {"schemaTitle": "components.Nothing"}}]}
    task = entrypoint.Task(
        executor_path="",
        invocation={"inputs": {"artifacts": {"x": told}}},
        inputs_spec={},
        beam_arguments=[],
        staging_root=str(tmp_path),
    )
    with pytest.raises(ConfigError, match="must be one of TFX's or the dotted name of a class in the image, got 'comp"):
        entrypoint.read_artifacts(task, "inputs")


def test_the_type_of_an_input_is_taken_from_the_spec_where_the_launcher_does_not_tell_it(tmp_path):
    task = entrypoint.Task(
        executor_path="",
        invocation={"inputs": {"artifacts": {"x": {"artifacts": [{"uri": "s3://b/x", "type": {}}]}}}},
        inputs_spec={"artifacts": {"x": {"artifactType": EXAMPLES}}},
        beam_arguments=[],
        staging_root=str(tmp_path),
    )
    assert entrypoint.read_artifacts(task, "inputs")["x"][0].type_name == "Examples"
