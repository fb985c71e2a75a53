"""What a container runs for one task on open-source Kubeflow Pipelines: `python -m pipeline.kubeflow_entrypoint`.

It takes the arguments of TFX's own entry point (`tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor`),
which knows Google's storage alone. Here artifacts are read and written where the launcher of Kubeflow Pipelines puts
inputs and collects outputs: `minio://b/p` is `/minio/b/p`, `s3://b/p` is `/s3/b/p`, `gs://b/p` is `/gcs/b/p`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from applications.errors import ConfigError, near_name
from pipeline import kubeflow_parameters
from pipeline.stage_process import error_text

if TYPE_CHECKING:
    from tfx.dsl.components.base.base_executor import BaseExecutor
    from tfx.types.artifact import Artifact

STAGING_ROOT = "EARTHLOOP_STAGING_ROOT"  # environment variable: the folder that holds /minio, /s3 and /gcs
FOLDERS = {"minio://": "minio", "s3://": "s3", "gs://": "gcs"}  # as the launcher names them

_WRAPPERS = ("list", "struct")  # keys under which ML Metadata keeps what is no number or text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One task as its container is told.

    Attributes:
        executor_path: dotted name of the executor's class.
        invocation: ExecutorInput of the pipeline spec, in its JSON form.
        inputs_spec: ComponentInputsSpec in its JSON form, {} where it is not told.
        beam_arguments: of a Beam pipeline, if the executor runs one.
        staging_root: the folder that holds `minio`, `s3` and `gcs`.
    """

    executor_path: str
    invocation: Mapping[str, Any]
    inputs_spec: Mapping[str, Any]
    beam_arguments: Sequence[str]
    staging_root: str = "/"

    @property
    def output_file(self) -> Path:
        """Where the launcher looks for what the executor says of its outputs."""
        return Path(self.invocation["outputs"]["outputFile"])


def local_path(uri: str, root: str = "/") -> str:
    """Returns where the launcher keeps an artifact in the container; a URI of another kind stays as it is."""
    for scheme, folder in FOLDERS.items():
        if uri.startswith(scheme):
            return os.path.join(root, folder, uri.removeprefix(scheme))
    return uri


def remote_uri(path: str, root: str = "/") -> str:
    """Returns the URI of a path that `local_path` gave; any other stays as it is."""
    for scheme, folder in FOLDERS.items():
        prefix = os.path.join(root, folder, "")
        if path.startswith(prefix):
            return scheme + path.removeprefix(prefix)
    return path


def unwrapped(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an artifact's metadata as its producer wrote it.

    On its way through ML Metadata a list becomes `{"list": […]}`, a mapping `{"struct": {…}}`; a null is a property
    that nobody set.
    """
    found = {}
    for key, value in metadata.items():
        if value is None:
            continue
        is_wrapped = isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _WRAPPERS
        found[key] = next(iter(value.values())) if is_wrapped else value
    return found


def parameters(task: Task) -> dict[str, Any]:
    """Returns the execution properties: numbers of the type that the spec says, mappings and lists as JSON text.

    Values of the pipeline's parameters are put into the settings they belong to.
    """
    values = task.invocation.get("inputs", {}).get("parameterValues", {})
    specs = task.inputs_spec.get("parameters", {})
    types = {name: spec.get("parameterType", "") for name, spec in specs.items()}
    told = {name: _parameter(value, types.get(name, "")) for name, value in values.items() if value is not None}
    return kubeflow_parameters.applied(told)


def _parameter(value: Any, kind: str) -> Any:
    if isinstance(value, dict | list):  # TFX has no such property; the status of a pipeline is one
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer() and kind != "NUMBER_DOUBLE":
        return int(value)  # every number of a pipeline spec is a float
    return float(value) if kind == "NUMBER_DOUBLE" else value


def read_artifacts(task: Task, side: str) -> dict[str, list[Artifact]]:
    """Returns the artifacts of a task as TFX's, at their local paths.

    Inputs that only a condition on the task asks for, which TFX names `_<task>.<output>`, are left out.

    Args:
        task: whose.
        side: "inputs" or "outputs".
    """
    lists = task.invocation.get(side, {}).get("artifacts", {})
    specs = task.inputs_spec.get("artifacts", {}) if side == "inputs" else {}
    return {
        key: [_artifact(each, specs.get(key, {}), task.staging_root) for each in found.get("artifacts", [])]
        for key, found in lists.items()
        if not key.startswith("_")
    }


def _artifact(told: Mapping[str, Any], spec: Mapping[str, Any], root: str) -> Artifact:
    """Makes one artifact; metadata that its type declares become properties, the rest custom properties."""
    from ml_metadata.proto import metadata_store_pb2

    artifact = _artifact_class(_title(told) or _title({"type": spec.get("artifactType")}))()
    artifact.uri = local_path(told["uri"], root)
    name = told.get("name", "")
    if name.isdecimal():  # the id in the cluster's ML Metadata
        artifact.id = int(name)
    declared = artifact.artifact_type.properties
    for key, value in unwrapped(told.get("metadata", {})).items():
        if key not in declared and isinstance(value, str):
            artifact.set_string_custom_property(key, value)
        elif key not in declared:  # a number is kept so that whoever asks for an int or for a float gets it
            artifact.set_json_value_custom_property(key, float(value) if isinstance(value, int) else value)
        elif declared[key] == metadata_store_pb2.INT:
            setattr(artifact, key, int(value))
        else:
            setattr(artifact, key, value)
    artifact.set_mlmd_artifact(artifact.mlmd_artifact)  # into the message, which getters of numbers ask first
    return artifact


def _title(told: Mapping[str, Any]) -> str:
    """Returns the title of an artifact's type, "" where it says none."""
    kind = told.get("type") or {}
    schema = yaml.safe_load(kind.get("instanceSchema") or "") or {}
    return str(kind.get("schemaTitle") or schema.get("title") or "")


def _artifact_class(title: str) -> type[Artifact]:
    """Finds the class: `tfx.Name` is TFX's own, any other title is the dotted name of the class itself."""
    from tfx.types import artifact, standard_artifacts

    module_name, _, name = title.rpartition(".")
    try:
        module = standard_artifacts if module_name == "tfx" else importlib.import_module(module_name or "tfx.types")
        found = getattr(module, name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"an artifact's type must be one of TFX's or the dotted name of a class in the image, got {title!r} "
            f"({error}). Compile the pipeline and build the image from the same code."
        ) from error
    if not (isinstance(found, type) and issubclass(found, artifact.Artifact)):
        raise ConfigError(f"an artifact's type must be a class derived from tfx.types.Artifact, got {title!r}.")
    return found


def executor_class(path: str) -> type[BaseExecutor]:
    """Imports an executor.

    Raises:
        ConfigError: there is no such module, or no such class in it.
    """
    module_name, _, name = path.rpartition(".")
    again = "Compile the pipeline and build the image from the same code."
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"no executor {path!r}: its module cannot be imported ({error}). {again}") from error
    if not hasattr(module, name):
        known = [each for each in vars(module) if each.endswith("Executor")]
        raise ConfigError(f"no executor {name!r} in {module_name}.{near_name(name, known)} {again}")
    found: type[BaseExecutor] = getattr(module, name)
    return found


def run(task: Task) -> None:
    """Runs the executor of a task and writes down what it says of its outputs.

    Raises:
        ConfigError: the image does not know the executor or the type of an artifact.
        Exception: whatever the executor raises.
    """
    from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.dsl.components.base.base_executor import BaseExecutor
    from tfx.orchestration.portable import outputs_utils

    found = executor_class(task.executor_path)
    inputs, outputs = read_artifacts(task, "inputs"), read_artifacts(task, "outputs")
    for each in (each for artifacts in inputs.values() for each in artifacts):
        if not os.path.exists(each.uri):  # the launcher uploads files alone: an empty artifact arrives as nothing
            os.makedirs(each.uri)
    outputs_utils.make_output_dirs(outputs)
    properties = parameters(task)
    if issubclass(found, BaseExampleGenExecutor):
        _drive_example_gen(properties, outputs)
    with tempfile.TemporaryDirectory(prefix="earthloop-") as temporary:
        common = {"tmp_dir": temporary, "unique_id": "task"}
        if issubclass(found, BaseBeamExecutor):
            context = BaseBeamExecutor.Context(beam_pipeline_args=list(task.beam_arguments), **common)
        else:
            context = BaseExecutor.Context(extra_flags=list(task.beam_arguments), **common)
        found(context).Do(inputs, outputs, properties)
    outputs_utils.tag_output_artifacts_with_version(outputs)
    task.output_file.parent.mkdir(parents=True, exist_ok=True)
    task.output_file.write_text(json.dumps(executor_output(task, outputs)), encoding="utf-8")


def _drive_example_gen(properties: dict[str, Any], outputs: Mapping[str, list[Artifact]]) -> None:
    """Does what TFX's driver of a file-based ExampleGen does, which Kubeflow Pipelines never calls.

    Resolves span, version and the files' fingerprint, and puts them where the executor and its output have them.
    """
    from tfx.components.example_gen import driver, input_processor, utils
    from tfx.proto import example_gen_pb2, range_config_pb2
    from tfx.utils import proto_utils

    if not properties.get("input_base"):
        return
    config, wanted = example_gen_pb2.Input(), None
    proto_utils.json_to_proto(properties["input_config"], config)
    if properties.get("range_config"):
        wanted = range_config_pb2.RangeConfig()
        proto_utils.json_to_proto(properties["range_config"], wanted)
    processor = input_processor.FileBasedInputProcessor(properties["input_base"], config.splits, wanted)
    span, version = processor.resolve_span_and_version()
    properties[utils.SPAN_PROPERTY_NAME] = span
    properties[utils.VERSION_PROPERTY_NAME] = version
    properties[utils.FINGERPRINT_PROPERTY_NAME] = processor.get_input_fingerprint(span, version)
    for split in config.splits:
        split.pattern = processor.get_pattern_for_span_version(split.pattern, span, version)
    properties["input_config"] = proto_utils.proto_to_json(config)
    [examples] = outputs["examples"]
    driver.update_output_artifact(exec_properties=properties, output_artifact=examples.mlmd_artifact)


def executor_output(task: Task, outputs: Mapping[str, list[Artifact]]) -> dict[str, Any]:
    """Returns ExecutorOutput in its JSON form, as the launcher reads it."""
    artifacts = {
        key: {"artifacts": [{"uri": remote_uri(each.uri, task.staging_root), "metadata": _metadata(each)}]}
        for key, [each] in outputs.items()
    }
    wanted = task.invocation["outputs"].get("parameters", {})
    return {
        "artifacts": artifacts,
        "parameterValues": {key: outputs[key][0].read() for key in wanted if key in outputs},
    }


def _metadata(artifact: Artifact) -> dict[str, Any]:
    """Returns properties and custom properties; those without a value are left out, as the launcher refuses nulls."""
    proto = artifact.mlmd_artifact
    found = {}
    for key, value in (*proto.properties.items(), *proto.custom_properties.items()):
        kind = value.WhichOneof("value")
        if kind == "struct_value":
            found[key] = artifact.get_custom_property(key)
        elif kind is not None:
            found[key] = getattr(value, kind)
    return {key: value for key, value in found.items() if value is not None}


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Task:
    """Reads the command line of a container; what is not known to it are Beam's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True, help="dotted name of the executor's class")
    parser.add_argument("--json_serialized_invocation_args", required=True, help="ExecutorInput as JSON")
    parser.add_argument("--json_serialized_inputs_spec_args", default="{}", help="ComponentInputsSpec as JSON")
    known, beam_arguments = parser.parse_known_args(list(arguments))
    return Task(
        executor_path=known.executor_class_path,
        invocation=json.loads(known.json_serialized_invocation_args),
        inputs_spec=json.loads(known.json_serialized_inputs_spec_args),
        beam_arguments=beam_arguments,
        staging_root=environment.get(STAGING_ROOT, "/"),
    )


def main(arguments: Sequence[str]) -> int:
    """Runs one task; returns the exit status. The last line of its log says why it failed."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        run(parse(arguments, os.environ))
    except Exception as error:
        traceback.print_exc()
        sys.stderr.write(f"Error: {error_text(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
