"""A compiled pipeline spec as a graph of tasks; what is not supported is refused before anything runs."""

from __future__ import annotations

import dataclasses
import graphlib
from collections.abc import Iterator, Mapping
from typing import Any

from applications.errors import ConfigError, near_name
from pipeline.kubeflow_spec import KubeflowSpec

SCHEMA_VERSION = "2.1.0"  # the only one that the API server of Kubeflow Pipelines takes
ROOT = ""  # path of the outermost DAG
DEFAULT_PIPELINE_ROOT = "minio://mlpipeline/v2/artifacts"  # of a Kubeflow Pipelines installation as it comes

_ANYWAY = "ALL_UPSTREAM_TASKS_COMPLETED"
_EXECUTORS = ("container", "importer")


class SpecError(ConfigError):
    """A pipeline spec that the backend, or the replay, would refuse."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """One task, or a DAG of tasks that is itself a task of another.

    Attributes:
        path: names of the DAGs around it and its own, joined by "/"; "" is the outermost DAG.
        task: PipelineTaskSpec; {} of the outermost DAG.
        component: ComponentSpec.
        executor: ExecutorSpec; {} of a DAG.
        children: paths of a DAG's tasks, in an order in which they can run.
        needs: paths of the siblings it waits for.
    """

    path: str
    task: Mapping[str, Any]
    component: Mapping[str, Any]
    executor: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    children: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def parent(self) -> str:
        """Path of the DAG around it."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name in the DAG around it."""
        return self.path.rpartition("/")[2]

    @property
    def is_dag(self) -> bool:
        """Whether it is made of other tasks."""
        return "dag" in self.component

    @property
    def runs_anyway(self) -> bool:
        """Whether it runs, as an exit handler does, however those it waits for ended."""
        return bool(self.task.get("triggerPolicy", {}).get("strategy") == _ANYWAY)

    @property
    def condition(self) -> str:
        """A CEL expression that must be true for it to run; "" always is."""
        return str(self.task.get("triggerPolicy", {}).get("condition", ""))

    @property
    def container(self) -> Mapping[str, Any]:
        """PipelineContainerSpec, {} where it has none."""
        found: Mapping[str, Any] = self.executor.get("container", {})
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """A pipeline.

    Attributes:
        name: of the pipeline.
        pipeline_root: URI below which tasks write.
        parameters: definitions of the pipeline's parameters, by name.
        nodes: every task and DAG by path.
        left_out: executors for which the platform document asks something of Kubernetes that a replay cannot give.
    """

    name: str
    pipeline_root: str
    parameters: Mapping[str, Mapping[str, Any]]
    nodes: Mapping[str, Node]
    left_out: tuple[str, ...] = ()

    def leaves(self, path: str = ROOT) -> Iterator[str]:
        """Yields the tasks at or below a path that are no DAGs, in an order in which they can run."""
        node = self.nodes[path]
        if not node.is_dag:
            yield path
        for child in node.children:
            yield from self.leaves(child)

    def around(self, path: str) -> Iterator[Node]:
        """Yields the DAGs around a task, the outermost but one first, and then the task itself."""
        if path != ROOT:
            yield from self.around(self.nodes[path].parent)
            yield self.nodes[path]


def parse(found: KubeflowSpec) -> Spec:
    """Makes a graph of a compiled pipeline.

    Args:
        found: both documents of its file.

    Raises:
        SpecError: it is no pipeline spec, or holds what the backend or the replay does not support.
    """
    document = found.pipeline
    if "root" not in document:
        hint = " It is a PipelineJob of an older compiler." if "pipelineSpec" in document else ""
        raise SpecError(
            f"a pipeline spec must have the keys root, components and deploymentSpec, got {', '.join(document)}.{hint} "
            "Compile again, to a .yaml file."
        )
    version = document.get("schemaVersion")
    if version != SCHEMA_VERSION:
        raise SpecError(
            f"schemaVersion must be {SCHEMA_VERSION!r}, the only one that Kubeflow Pipelines takes, got {version!r}. "
            "Compile with use_pipeline_spec_2_1=True."
        )
    nodes: dict[str, Node] = {}
    _add(nodes, document, ROOT, {}, document["root"])
    return Spec(
        name=document["pipelineInfo"]["name"],
        pipeline_root=document.get("defaultPipelineRoot") or DEFAULT_PIPELINE_ROOT,
        parameters=document["root"].get("inputDefinitions", {}).get("parameters", {}),
        nodes=nodes,
        left_out=tuple(sorted(found.platform_executors())),
    )


def _add(
    nodes: dict[str, Node],
    document: Mapping[str, Any],
    path: str,
    task: Mapping[str, Any],
    component: Mapping[str, Any],
) -> None:
    """Adds a task and, of a DAG, everything in it."""
    if "dag" not in component:
        nodes[path] = Node(path=path, task=task, component=component, executor=_executor(document, path, component))
        return
    tasks = component["dag"]["tasks"]
    needs = {name: _needs(path, name, tasks) for name in tasks}
    try:
        order = tuple(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        raise SpecError(f"tasks must not wait for each other in a circle, got {' → '.join(error.args[1])}.") from error
    nodes[path] = Node(path=path, task=task, component=component, children=tuple(_join(path, each) for each in order))
    for name in order:
        spec = tasks[name]
        if "parameterIterator" in spec or "artifactIterator" in spec:
            raise SpecError(f"task {name!r} is a loop, which the replay does not support. Run it on a cluster.")
        called = spec["componentRef"]["name"]
        if called not in document.get("components", {}):
            raise SpecError(f"task {name!r} refers to component {called!r}, which the spec does not have.")
        child = _join(path, name)
        _add(nodes, document, child, spec, document["components"][called])
        nodes[child] = dataclasses.replace(nodes[child], needs=tuple(_join(path, each) for each in needs[name]))


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _needs(path: str, name: str, tasks: Mapping[str, Any]) -> list[str]:
    """Names the siblings that a task waits for: those it says, and those whose outputs it takes."""
    inputs = tasks[name].get("inputs", {})
    given = (*inputs.get("artifacts", {}).values(), *inputs.get("parameters", {}).values())
    found = set(tasks[name].get("dependentTasks", []))
    for each in given:
        for kind in ("taskOutputArtifact", "taskOutputParameter", "taskFinalStatus"):
            found |= {each[kind]["producerTask"]} if kind in each else set()
    for each in sorted(found - set(tasks)):
        where = f" of {path}" if path else ""
        raise SpecError(
            f"task {name!r}{where} waits for task {each!r}, and there is none.{near_name(each, list(tasks))} "
            "Compile the pipeline again; `earthloop lint FILE.yaml` finds the cause."
        )
    return sorted(found)


def _executor(document: Mapping[str, Any], path: str, component: Mapping[str, Any]) -> Mapping[str, Any]:
    label = component.get("executorLabel")
    found: Mapping[str, Any] = document.get("deploymentSpec", {}).get("executors", {}).get(label, {})
    if not any(kind in found for kind in _EXECUTORS):
        kind = next(iter(found), "none")
        raise SpecError(
            f"the executor of task {path!r} must be a container or an importer, got {kind}. "
            "Kubeflow Pipelines refuses such a run; a Resolver becomes a component of its own."
        )
    return found
