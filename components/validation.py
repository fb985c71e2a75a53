"""Holds the statistics against the schema, says each anomaly in words, and stops or warns by policy."""

from __future__ import annotations

import json
import logging
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.example_validator import executor as example_validator
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.io import fileio
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import Artifact, BaseChannel, Channel, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from applications import progress
from applications.errors import StageError
from applications.settings import ValidateSettings

ANOMALIES_FILE = "anomalies.json"
_NAMED_AT_MOST = 12
_WHOLE = "the split as a whole"
_NO_FEATURE = ("", "*")

_log = logging.getLogger(__name__)

_WHAT_TO_DO = {
    "SCHEMA_NEW_COLUMN": "Describe it in {schema}, or stop the source from writing it.",
    "SCHEMA_MISSING_COLUMN": "Make the source write it, or take it out of {schema}.",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": "Mend these values, or add them to the feature's string_domain in {schema}.",
    "LOW_SUPPORTED_IMAGE_FRACTION": "Convert the files to JPEG or PNG.",
    "DATASET_LOW_NUM_EXAMPLES": "Give more data, or lower min_examples_count in {schema}.",
    "DATASET_HIGH_NUM_EXAMPLES": "Check for copies, or raise max_examples_count in {schema}.",
}
_BY_WORD = {
    "BIG": "Look at the largest values; mend them, or raise the domain's max in {schema}.",
    "SMALL": "Look at the smallest values; mend them, or lower the domain's min in {schema}.",
    "NAN": "Find the items with no number there and mend or remove them.",
    "LOW_FRACTION_PRESENT": "Fill it in where it is missing, or lower presence.min_fraction in {schema}.",
    "NOT_PRESENT": "Make the source write it, or take it out of {schema}.",
    "COMPARATOR": "Look at what changed since; raise the comparator's threshold in {schema} if the change is meant.",
}
_ELSE = "Mend the data, or change the feature in {schema} if the data are right."


class ValidateSpec(ComponentSpec):
    """Parameters, inputs and outputs of `Validate`."""

    PARAMETERS = {
        "exclude_splits": ExecutionParameter(type=str, optional=True),
        "settings": ExecutionParameter(type=str),
        "code_version": ExecutionParameter(type=str),
    }
    INPUTS = {
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {"anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies)}


class Executor(example_validator.Executor):
    """TFX's ExampleValidator, with a policy on what it finds."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        """Validates, writes `anomalies.json` beside TFX's own files, and applies the policy.

        Raises:
            StageError: there are anomalies and `validate.on_anomaly` is "stop"; the text lists them.
        """
        output = super().Do(input_dict, output_dict, exec_properties)
        policy = ValidateSettings(**json.loads(exec_properties["settings"])["validate"]).on_anomaly
        artifact = artifact_utils.get_single_instance(output_dict["anomalies"])
        schema = artifact_utils.get_single_instance(input_dict["schema"])
        found = _found(artifact, schema.get_string_custom_property("source") or "the schema")
        stopped = bool(found) and policy == "stop"
        with fileio.open(f"{artifact.uri}/{ANOMALIES_FILE}", "w") as file:
            record = {"anomalies": found, "policy": policy, "stopped": stopped}
            file.write(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        for anomaly in found:
            _log.log(logging.ERROR if stopped else logging.WARNING, "%s", anomaly["sentence"])
        if stopped:
            raise StageError(_listed(found))
        if found:
            progress.report("note", text=f"{_counted(found)}, passed on as asked; the first: {found[0]['sentence']}")
        return output


class Validate(base_component.BaseComponent):
    """Statistics against schema, for every split."""

    SPEC_CLASS = ValidateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, statistics: BaseChannel, schema: BaseChannel, settings: str, code_version: str = "") -> None:
        """Describes one validation.

        Args:
            statistics: of every split.
            schema: the curated one.
            settings: JSON of the section `validate`.
            code_version: digest of the code behind this stage, for the cache.
        """
        spec = ValidateSpec(
            statistics=statistics,
            schema=schema,
            exclude_splits="[]",
            settings=settings,
            code_version=code_version,
            anomalies=Channel(type=standard_artifacts.ExampleAnomalies),
        )
        super().__init__(spec=spec)


def described(split: str, anomalies: anomalies_pb2.Anomalies, schema: str) -> list[dict[str, str]]:
    """Says every anomaly of one split in a sentence.

    Args:
        split: its name.
        anomalies: what TFDV found.
        schema: how to call the schema, its path.

    Returns:
        Dictionaries with `split`, `feature`, `kind` (TFDV's name of the anomaly) and `sentence`, by feature.
    """
    found = []
    if anomalies.data_missing:
        sentence = f"Split {split!r} holds no examples. Give more data, or deal anew with another split.seed."
        found.append({"split": split, "feature": _WHOLE, "kind": "NO_DATA_IN_SPAN", "sentence": sentence})
    rows = sorted(anomalies.anomaly_info.items())
    if anomalies.HasField("dataset_anomaly_info"):
        rows.append((_WHOLE, anomalies.dataset_anomaly_info))
    for name, info in rows:
        feature = ".".join(info.path.step) or (_WHOLE if name in _NO_FEATURE else name)
        for reason in info.reason or [_as_reason(info)]:
            kind = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
            words = " ".join((reason.description or reason.short_description or info.description).split()).rstrip(". ")
            what = feature if feature == _WHOLE else f"feature {feature!r}"
            sentence = f"Split {split!r}, {what}: {words}. {_advice(kind).format(schema=schema)}"
            found.append({"split": split, "feature": feature, "kind": kind, "sentence": sentence})
    return found


def _as_reason(info: anomalies_pb2.AnomalyInfo) -> anomalies_pb2.AnomalyInfo.Reason:
    return anomalies_pb2.AnomalyInfo.Reason(description=info.description, short_description=info.short_description)


def _advice(kind: str) -> str:
    if kind in _WHAT_TO_DO:
        return _WHAT_TO_DO[kind]
    return next((advice for word, advice in _BY_WORD.items() if word in kind), _ELSE)


def _found(artifact: Artifact, schema: str) -> list[dict[str, str]]:
    found = []
    for split in artifact_utils.decode_split_names(artifact.split_names):
        path = f"{artifact_utils.get_split_uri([artifact], split)}/{example_validator.DEFAULT_FILE_NAME}"
        with fileio.open(path, "rb") as file:
            anomalies = anomalies_pb2.Anomalies.FromString(file.read())
        found += described(split, anomalies, schema)
    return found


def _counted(found: list[dict[str, str]]) -> str:
    return "1 anomaly was found in the data" if len(found) == 1 else f"{len(found)} anomalies were found in the data"


def _listed(found: list[dict[str, str]]) -> str:
    lines = [f"  {anomaly['sentence']}" for anomaly in found[:_NAMED_AT_MOST]]
    if len(found) > _NAMED_AT_MOST:
        lines.append(f"  … and {len(found) - _NAMED_AT_MOST} more, in the log.")
    return "\n".join([f"{_counted(found)}:", *lines, "To go on in spite of them: --set validate.on_anomaly=warn"])
