"""Rules on single parts of a pipeline spec: names, executors, types, the platform document."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from applications.errors import near_name
from pipeline import kubeflow_lint_types
from pipeline.kubeflow_faults import Fault, fault, task_place
from pipeline.kubeflow_spec import ROOT, KubeflowSpec, declared

SCHEMA_VERSION = "2.1.0"
_PIPELINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_TASK_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")  # what Argo takes
_PARTS = ("components", "deploymentSpec", "pipelineInfo", "root")  # keys of every pipeline
_FEW = 5  # keys that a sentence names
_PLAIN_TFX = "tfx.orchestration.kubeflow.v2.container"  # TFX's own entry point


def whole_file(spec: KubeflowSpec) -> Iterator[Fault]:
    """A pipeline has all its parts; a file that was cut off is often still sound YAML."""
    found = [key for key in _PARTS if key in spec.pipeline]
    missing = [key for key in _PARTS if key not in spec.pipeline]
    if "pipelineSpec" in spec.pipeline or not missing:
        return
    if not found:
        kind = spec.pipeline.get("kind")
        what = f"a Kubernetes object of kind {kind}" if kind else f"has the keys {_some(spec.pipeline)}"
        yield fault(
            "the file",
            f"it is not a compiled pipeline, which has {', '.join(_PARTS)}: it {'is ' if kind else ''}{what}.",
            "Give the file that `earthloop compile`, or kfp's compiler, has written.",
        )
        return
    yield fault(
        "the file",
        f"it has {', '.join(found)} and no {', '.join(missing)}: it looks cut off.",
        "Copy it again, or compile the pipeline again.",
    )


def schema_version(spec: KubeflowSpec) -> Iterator[Fault]:
    """The server takes schema 2.1.0 and no other, and no PipelineJob."""
    if "pipelineSpec" in spec.pipeline:
        yield fault(
            "the file",
            "it is a PipelineJob, which no open-source client loads.",
            "Write what is under `pipelineSpec` as YAML; with TFX: output_filename ending in .yaml.",
        )
        return
    version = spec.pipeline.get("schemaVersion")
    if version != SCHEMA_VERSION:
        yield fault(
            "schemaVersion",
            f"the server takes {SCHEMA_VERSION} alone, got {version!r}.",
            "Compile with a current kfp, or with KubeflowV2DagRunnerConfig(use_pipeline_spec_2_1=True).",
        )


def pipeline_name(spec: KubeflowSpec) -> Iterator[Fault]:
    """A pipeline's name becomes part of names in Kubernetes."""
    info = spec.pipeline.get("pipelineInfo")
    name = info.get("name") if isinstance(info, dict) else None
    if not _PIPELINE_NAME.fullmatch(str(name)):
        yield fault(
            "pipelineInfo.name",
            f"a pipeline's name is of lower-case letters, digits and -, at most 128, got {name!r}.",
            "Rename the pipeline.",
        )


def task_names(spec: KubeflowSpec) -> Iterator[Fault]:
    """A task's name becomes the name of an Argo task."""
    for dag in spec.dags():
        for name in dag.tasks:
            if not _TASK_NAME.fullmatch(name):
                yield fault(
                    task_place(dag, name),
                    "Argo takes letters, digits and - in a task's name, and no - in front.",
                    f"Rename it, such as {_dashed(name)!r}; a TFX node with `.with_id({_dashed(name)!r})`.",
                )


def references(spec: KubeflowSpec) -> Iterator[Fault]:
    """A task names a component, a component an executor or a DAG."""
    for dag in spec.dags():
        for name, task in dag.tasks.items():
            wanted = (task.get("componentRef") or {}).get("name", "")
            if wanted not in spec.components:
                near = near_name(wanted, list(spec.components))
                yield fault(
                    task_place(dag, name), f"there is no component {wanted!r}.{near}", "Compile the pipeline again."
                )
    for name, component in spec.components.items():
        label = component.get("executorLabel")
        if "dag" not in component and label not in spec.executors:
            near = near_name(str(label), list(spec.executors))
            yield fault(f"component {name}", f"there is no executor {label!r}.{near}", "Compile the pipeline again.")
    if not any(dag.tasks for dag in spec.dags() if dag.name == ROOT):
        yield fault("root", "the pipeline has no task.", "Compile the pipeline again.")


def executors(spec: KubeflowSpec) -> Iterator[Fault]:
    """The server runs containers and importers, and nothing else."""
    for label, executor in spec.executors.items():
        where = f"executor {label}"
        if "resolver" in executor:
            yield fault(
                where,
                "it is a resolver, which the open-source server does not implement.",
                "Look the artifact up in a component of your own, as components/baseline.py does for the last model.",
            )
        elif "container" not in executor and "importer" not in executor:
            kind = ", ".join(executor) or "empty"
            yield fault(where, f"it is neither container nor importer but {kind}.", "Make it a container.")
        elif "container" in executor and not (executor["container"] or {}).get("image"):
            yield fault(where, "its container has no image.", "Name the image that holds the code.")


def lifecycles(spec: KubeflowSpec) -> Iterator[Fault]:
    """What stands under `lifecycle` is never called."""
    for label, executor in spec.executors.items():
        if (executor.get("container") or {}).get("lifecycle"):
            yield fault(
                f"executor {label}",
                "its driver (lifecycle.preCacheCheck) is never called: spans, versions and fingerprints of the data "
                "stay unknown, and the cache answers for data that have changed.",
                "Run the driver in the container's entry point, as pipeline/kubeflow_entrypoint.py does, take "
                "`lifecycle` out, and switch the task's cache off.",
            )


def retries(spec: KubeflowSpec) -> Iterator[Fault]:
    """Argo gets the policy as text: what is missing becomes 0, and a factor must be a whole number."""
    for dag in spec.dags():
        for name, task in dag.tasks.items():
            policy = task.get("retryPolicy") or {}
            if policy.get("maxRetryCount") and policy.get("backoffMaxDuration") in (None, "0s"):
                yield fault(
                    task_place(dag, name),
                    "its retryPolicy has no backoffMaxDuration; the server makes 0 seconds of that, and nothing is "
                    "tried again.",
                    "Give the time after the first attempt's beginning in which others may begin, such as 86400s.",
                )
            if float(policy.get("backoffFactor") or 0) % 1:
                yield fault(
                    task_place(dag, name),
                    f"its backoffFactor must be a whole number, got {policy['backoffFactor']}; Argo reads no other.",
                    "Round it.",
                )


def storage(spec: KubeflowSpec) -> Iterator[Fault]:
    """TFX's own entry point knows Google's storage alone; a cluster's own root is minio://."""
    root = str(spec.pipeline.get("defaultPipelineRoot", ""))
    for label, executor in spec.executors.items():
        command = (executor.get("container") or {}).get("command") or []
        if any(_PLAIN_TFX in str(word) for word in command) and not root.startswith("gs://"):
            yield fault(
                f"executor {label}",
                f"TFX's own entry point writes to no {root.partition('://')[0] or 'minio'}:// root and fails at its "
                "first file.",
                "Give `default_commands` an entry point that maps such URIs to /minio and /s3, as "
                "pipeline/kubeflow_entrypoint.py does, or a defaultPipelineRoot that begins with gs://.",
            )


def platforms(spec: KubeflowSpec) -> Iterator[Fault]:
    """The platform document speaks of executors that are there."""
    named = (spec.platform.get("platforms") or {}) if spec.platform else {}
    for name in named:
        if name != "kubernetes":
            yield fault(
                f"platform {name}",
                "the open-source server knows the platform 'kubernetes' alone.",
                "Put its content under `kubernetes`.",
            )
    for label in spec.platform_executors():
        if label not in spec.executors:
            yield fault(
                "platform kubernetes",
                f"there is no executor {label!r} in the pipeline.{near_name(label, list(spec.executors))}",
                "Name one of the pipeline's: TFX calls that of a node `<node>_executor`.",
            )


def artifact_types(spec: KubeflowSpec) -> Iterator[Fault]:
    """A container imports an artifact's class by the title of its type."""
    for name, component in spec.components.items():
        for side in ("inputDefinitions", "outputDefinitions"):
            for key, artifact in declared(component, side, "artifacts").items():
                if found := kubeflow_lint_types.problem(artifact.get("artifactType") or {}):
                    yield fault(f"component {name}, artifact {key}", *found)


def _dashed(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-") or "task"


def _some(found: Collection[str]) -> str:
    names = [str(name) for name in found]
    return ", ".join(names[:_FEW]) + (" and others" if len(names) > _FEW else "")
