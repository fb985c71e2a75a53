"""The report stage: gathers what the other stages left and writes it as `report.json` and `report.html`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from applications.errors import ConfigError, near_name
from components.artifacts import DataWindow, Predictions, Quarantine, RunReport, ServingReport, SplitAudit, Verdict
from evaluation.report import collect, page

HTML_FILE, JSON_FILE = "report.html", "report.json"

INPUTS = {
    "window": DataWindow,
    "examples": standard_artifacts.Examples,
    "quarantine": Quarantine,
    "audit": SplitAudit,
    "statistics": standard_artifacts.ExampleStatistics,
    "schema": standard_artifacts.Schema,
    "anomalies": standard_artifacts.ExampleAnomalies,
    "transform_graph": standard_artifacts.TransformGraph,
    "hyperparameters": standard_artifacts.HyperParameters,
    "model": standard_artifacts.Model,
    "model_run": standard_artifacts.ModelRun,
    "baseline": standard_artifacts.Model,
    "evaluation": standard_artifacts.ModelEvaluation,
    "predictions": Predictions,
    "verdict": Verdict,
    "serving_report": ServingReport,
    "pushed_model": standard_artifacts.PushedModel,
}


class ReportSpec(types.ComponentSpec):
    """Everything is optional but the application's name: a short run has a report as well."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        "application": component_spec.ExecutionParameter(type=str),
        "configuration": component_spec.ExecutionParameter(type=str),  # JSON of the resolved configuration
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        key: component_spec.ChannelParameter(type=kind, optional=True) for key, kind in INPUTS.items()
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {"report": component_spec.ChannelParameter(type=RunReport)}


class ReportExecutor(base_executor.BaseExecutor):
    """Writes the two files; reads nothing but the artifacts it is given."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Collects the report of the run so far and draws its page."""
        folders = {key: Path(artifacts[-1].uri) for key, artifacts in input_dict.items() if artifacts}
        report = collect.collect(
            collect.ReportInputs(
                application=exec_properties["application"],
                configuration=json.loads(exec_properties["configuration"] or "{}"),
                code_version=exec_properties["code_version"],
                **folders,
            )
        )
        out = Path(artifact_utils.get_single_uri(output_dict["report"]))
        out.mkdir(parents=True, exist_ok=True)
        (out / JSON_FILE).write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")
        (out / HTML_FILE).write_text(page.render(report), encoding="utf-8")


class Report(base_component.BaseComponent):
    """The report of a run, as a page for people and as JSON."""

    SPEC_CLASS = ReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ReportExecutor)

    def __init__(
        self,
        *,
        application: str,
        configuration: str = "{}",
        code_version: str = "",
        **artifacts: types.BaseChannel | None,
    ) -> None:
        """Builds the stage.

        Args:
            application: name of the application.
            configuration: JSON of the run's resolved configuration.
            code_version: of the code that makes the run, shown at the foot of the page.
            **artifacts: channels by the names in `INPUTS`; what the pipeline does not make is None or left out.

        Raises:
            ConfigError: a channel's name is not one of `INPUTS`.
        """
        for key in artifacts:
            if key not in INPUTS:
                raise ConfigError(
                    f"the report has no input {key!r}; there are: {', '.join(INPUTS)}.{near_name(key, tuple(INPUTS))}"
                )
        given = {key: channel for key, channel in artifacts.items() if channel is not None}
        super().__init__(
            spec=ReportSpec(
                application=application,
                configuration=configuration,
                code_version=code_version,
                report=types.Channel(type=RunReport),
                **given,
            )
        )
