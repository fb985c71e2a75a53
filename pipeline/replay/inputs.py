"""What the driver does before a task: its inputs are looked up, its condition is judged, its outputs get their URIs."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from applications.errors import StageError
from pipeline.replay import condition, values
from pipeline.replay.spec import ROOT, Node, Spec
from pipeline.replay.storage import local_path

OUTPUT_FILE = "output_metadata.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a task left.

    Attributes:
        artifacts: by output key, RuntimeArtifacts in their JSON form, as the backend hands them on.
        parameters: values by output key.
    """

    artifacts: Mapping[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(kw_only=True)
class Context:
    """What is known while a pipeline runs.

    Attributes:
        spec: the pipeline.
        run_id: of this replay.
        parameters: values of the pipeline's parameters.
        outputs: what finished tasks left, by path.
        states: of tasks that ended, and of the DAGs around them, by path: "COMPLETE", "FAILED", or "CANCELED" of one
            whose condition did not hold. It is what the backend tells an exit handler.
    """

    spec: Spec
    run_id: str
    parameters: Mapping[str, Any]
    outputs: dict[str, Outputs] = dataclasses.field(default_factory=dict)
    states: dict[str, str] = dataclasses.field(default_factory=dict)

    def note_end(self, path: str, state: str, *, by_launcher: bool) -> None:
        """Notes how a task ended.

        The state of the DAGs around it follows only where a launcher has run: it alone writes them. So a DAG whose last
        task was skipped, or came from the cache, stays RUNNING for ever, and an exit handler is told so.

        Args:
            path: of the task.
            state: "COMPLETE", "FAILED" or "CANCELED".
            by_launcher: whether its container ran.
        """
        self.states[path] = state
        if not by_launcher:
            return
        for dag in reversed([*self.spec.around(self.spec.nodes[path].parent)]):
            ended = [self.states.get(child, "") for child in dag.children]
            if all(each in ("COMPLETE", "CANCELED") for each in ended):
                self.states[dag.path] = "COMPLETE"
            elif "FAILED" in ended:
                self.states[dag.path] = "FAILED"
            else:
                return

    def inputs(self, path: str) -> dict[str, Any]:
        """Returns ExecutorInput.inputs of a task or DAG: `parameterValues` and `artifacts`.

        Raises:
            StageError: a value has not the type its component declares.
        """
        node = self.spec.nodes[path]
        declared = node.component.get("inputDefinitions", {}).get("parameters", {})
        given = node.task.get("inputs", {})
        found = {}
        for name, spec in given.get("parameters", {}).items():
            value = self._parameter(node, spec)
            if value is not None:
                kind = declared.get(name, {}).get("parameterType", "STRING")
                found[name] = values.converted(value, kind, f"parameter {name!r} of task {node.name!r}")
        for name, spec in declared.items():
            if name not in found and spec.get("defaultValue") is not None:
                found[name] = values.number(spec["defaultValue"])
        artifacts = {
            name: {"artifacts": self._artifacts(node, spec)} for name, spec in given.get("artifacts", {}).items()
        }
        return {"parameterValues": found, "artifacts": artifacts}

    def will_run(self, path: str) -> bool:
        """Judges the condition of a task or DAG; raises `StageError` where it cannot be evaluated."""
        node = self.spec.nodes[path]
        if not node.condition:
            return True
        inputs = self.inputs(path)
        names = {"parameter_values": inputs["parameterValues"], "artifacts": inputs["artifacts"]}
        return condition.holds(node.condition, {"inputs": names})

    def _parameter(self, node: Node, spec: Mapping[str, Any]) -> Any:
        """Returns the value that one input of a task gets, None where it is absent."""
        if "componentInputParameter" in spec:
            value = self._given(node.parent, spec["componentInputParameter"])
        elif "taskOutputParameter" in spec:
            source = spec["taskOutputParameter"]
            value = self._output_parameter(_sibling(node, source["producerTask"]), source["outputParameterKey"])
        elif "taskFinalStatus" in spec:
            value = self._final_status(node, spec["taskFinalStatus"]["producerTask"])
        else:
            value = self._constant(node, spec["runtimeValue"]["constant"])
        if selector := spec.get("parameterExpressionSelector"):
            value = condition.evaluate(selector, {"string_value": values.as_text(value), "struct_value": value})
        return values.number(value)

    def _given(self, parent: str, name: str) -> Any:
        """Returns a parameter of the DAG around a task."""
        return self.parameters[name] if parent == ROOT else self.inputs(parent)["parameterValues"].get(name)

    def _constant(self, node: Node, value: Any) -> Any:
        facts = {
            "{{$.pipeline_job_name}}": self.spec.name,
            "{{$.pipeline_job_resource_name}}": f"{self.spec.name}-{self.run_id}",
            "{{$.pipeline_job_uuid}}": self.run_id,
            "{{$.pipeline_task_name}}": node.name,
        }
        return facts.get(value, value) if isinstance(value, str) else value

    def _final_status(self, node: Node, producer: str) -> dict[str, Any]:
        return {
            "state": self.states.get(_sibling(node, producer), "RUNNING"),
            "pipelineTaskName": producer,
            "pipelineJobResourceName": f"{self.spec.name}-{self.run_id}",
            "error": {},
        }

    def _output_parameter(self, path: str, key: str) -> Any:
        node = self.spec.nodes[path]
        if not node.is_dag:
            return self._left(path).parameters.get(key)
        selected = node.component["dag"]["outputs"]["parameters"][key]
        sources = selected.get("valueFromOneof", {}).get("parameterSelectors", [selected.get("valueFromParameter")])
        for source in sources:
            child = f"{path}/{source['producerSubtask']}"
            if self.spec.nodes[child].is_dag or child in self.outputs:
                return self._output_parameter(child, source["outputParameterKey"])
        return None

    def _artifacts(self, node: Node, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
        if "componentInputArtifact" in spec:
            around = self.inputs(node.parent)["artifacts"]
            found: list[dict[str, Any]] = around[spec["componentInputArtifact"]]["artifacts"]
            return found
        source = spec["taskOutputArtifact"]
        return self._output_artifacts(_sibling(node, source["producerTask"]), source["outputArtifactKey"])

    def _output_artifacts(self, path: str, key: str) -> list[dict[str, Any]]:
        node = self.spec.nodes[path]
        if not node.is_dag:
            left = self._left(path).artifacts
            if key not in left:
                raise StageError(f"task {path!r} has no output {key!r}; it has: {', '.join(left) or 'none'}.")
            return left[key]
        for source in node.component["dag"]["outputs"]["artifacts"][key]["artifactSelectors"]:
            child = f"{path}/{source['producerSubtask']}"
            if self.spec.nodes[child].is_dag or child in self.outputs:
                return self._output_artifacts(child, source["outputArtifactKey"])
        return []

    def _left(self, path: str) -> Outputs:
        if path not in self.outputs:
            raise StageError(f"an output of task {path!r} is wanted, but it did not run. Make one depend on the other.")
        return self.outputs[path]


def _sibling(node: Node, name: str) -> str:
    return f"{node.parent}/{name}" if node.parent else name


def provisioned(spec: Spec, node: Node, run_id: str, staging: Path) -> dict[str, Any]:
    """Returns ExecutorInput.outputs of a task: a URI for each artifact, a file for each parameter.

    Args:
        spec: the pipeline.
        node: the task.
        run_id: of this replay.
        staging: the folder that stands for the root of the container's file system.
    """
    declared = node.component.get("outputDefinitions", {})
    root = f"{spec.pipeline_root.partition('?')[0].rstrip('/')}/{spec.name}/{run_id}/{node.name}/{uuid.uuid4()}"
    artifacts = {
        key: {"artifacts": [{"name": key, "uri": f"{root}/{key}", "type": each.get("artifactType", {})}]}
        for key, each in declared.get("artifacts", {}).items()
    }
    for key, each in declared.get("artifacts", {}).items():
        if each.get("metadata"):
            artifacts[key]["artifacts"][0]["metadata"] = each["metadata"]
    folder = staging / PurePosixPath("tmp/kfp/outputs")
    return {
        "artifacts": artifacts,
        "parameters": {key: {"outputFile": str(folder / key)} for key in declared.get("parameters", {})},
        "outputFile": str(local_path(root, staging) / OUTPUT_FILE),
    }


def as_json(executor_input: Mapping[str, Any]) -> str:
    """Returns what stands for `{{$}}` in a command line."""
    return json.dumps(executor_input, ensure_ascii=False)
