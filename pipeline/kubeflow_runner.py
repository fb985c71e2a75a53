"""Compiles the pipeline that also runs locally into a spec for open-source Kubeflow Pipelines.

TFX's own runner makes the spec in memory; then it is completed (`kubeflow_postprocess`), held against the rules of the
cluster (`kubeflow_lint`) and written as YAML, with the platform document behind it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.decorators import FinalStatusStr
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.orchestration.pipeline import Pipeline

from applications.data_fingerprint import is_remote
from applications.spec import Application
from components.outcome import ReportOutcome
from pipeline import build, kubeflow_lint, kubeflow_postprocess
from pipeline.config import RunConfig
from pipeline.kubeflow_deployment import OUTCOME, Deployment
from pipeline.kubeflow_spec import KubeflowSpec
from pipeline.stages import Placement

COMMAND = ("python", "-m", "pipeline.kubeflow_entrypoint")
RUN_ID = "{{$.pipeline_job_uuid}}"  # which Kubeflow replaces


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
    """A spec that passed the lint.

    Attributes:
        spec: pipeline spec and platform document.
        notes: sentences on what only the submitter can know to be right.
    """

    spec: KubeflowSpec
    notes: tuple[str, ...]


def as_yaml(spec: KubeflowSpec) -> str:
    """Returns the file that Kubeflow Pipelines takes."""
    documents = [spec.pipeline, spec.platform] if spec.platform else [spec.pipeline]
    return _head(spec.pipeline) + str(
        yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=120)
    )


def compile_application(
    application: Application, config: RunConfig, deployment: Deployment, *, run_name: str = ""
) -> Compiled:
    """Compiles an application.

    Args:
        application: what is predicted.
        config: the resolved configuration, as `preflight.check_for_cluster` lets it pass.
        deployment: the cluster.
        run_name: default of the parameter; the model's name where it is "".

    Raises:
        ConfigError: the result breaks a rule of the cluster.
    """
    destination = config.push.destination or deployment.push_destination
    placement = Placement(
        artifacts=deployment.pipeline_root,
        destination=destination,
        data_fingerprint="",  # what lies outside the run cannot be known before it runs; those stages have no cache
        baseline_state="",
        pushed_state="",
        made_from="",
        skips_unchanged=True,
    )
    spec = _compile(build.create_pipeline(application, config, placement), application, deployment)
    defaults = {
        "data": config.data,
        "run_name": run_name or application.model_name,
        "epochs": config.train.epochs,
        "at_least": config.blessing.at_least,
        "worst_class_at_least": config.blessing.worst_class_at_least,
        "push_destination": destination,
        "run_unchanged": False,
    }
    kubeflow_postprocess.add_parameters(spec, defaults)
    kubeflow_postprocess.set_caching(spec)
    kubeflow_postprocess.deploy(spec, deployment)
    found = KubeflowSpec(pipeline=spec, platform=kubeflow_postprocess.platform(spec, deployment))
    _check_messages(found)
    kubeflow_lint.require_clean(found, application.name)
    places = [("data", config.data, stage) for stage in ("spans", "ingest")]
    places += [("push_destination", destination, stage) for stage in ("baseline", "push")]
    notes = {name: note for name, path, stage in places if (note := _reach(name, path, stage, deployment))}
    return Compiled(spec=found, notes=tuple(notes.values()))


def _compile(pipeline: Pipeline, application: Application, deployment: Deployment) -> dict[str, Any]:
    """Lets TFX compile, with the exit handler around all stages."""
    told = {"status": FinalStatusStr()} if deployment.final_status else {}
    handler = ReportOutcome(application=application.name, run_name="", run_id=RUN_ID, **told).with_id(OUTCOME)
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=deployment.image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True
        )
    )
    runner.set_exit_handler(handler)
    found: dict[str, Any] = runner.run(pipeline, write_out=False)["pipelineSpec"]
    return found


def _check_messages(found: KubeflowSpec) -> None:
    """Holds what was put in against the messages that the server reads: a misspelt field would be passed over."""
    json_format.ParseDict(found.pipeline, pipeline_spec_pb2.PipelineSpec())
    deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(found.pipeline["deploymentSpec"], deployment)
    for config in found.platform_executors().values():
        json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def _reach(name: str, path: str, stage: str, deployment: Deployment) -> str:
    """Says that a path is on no volume of the pod that uses it; "" where it is, or is a URI."""
    mounts = [volume.mount_path.rstrip("/") for volume in deployment.of(stage).volumes]
    if is_remote(path) or any(path == mount or path.startswith(f"{mount}/") for mount in mounts):
        return ""
    return (
        f"{name} is {path}, which lies on no volume of stage {stage}: what is written there is gone with the pod, and "
        f"what is read must be in the image. Mount a volume in the deployment, or give another {name} when you submit."
    )


def _head(spec: dict[str, Any]) -> str:
    """Returns the comment on top: what it is, and its parameters with their defaults."""
    lines = ["# PIPELINE DEFINITION", f"# Name: {spec['pipelineInfo']['name']}", "# Inputs:"]
    for name, parameter in sorted(spec["root"]["inputDefinitions"]["parameters"].items()):
        lines.append(f"#    {name}: {parameter['defaultValue']!r}; {parameter['description']}")
    return "\n".join(lines) + "\n"


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such, and the same object twice without an anchor."""

    def ignore_aliases(self, data: object) -> bool:
        """Says that nothing is an alias."""
        del data
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
