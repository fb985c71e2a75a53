"""Rules on how the tasks of a pipeline spec hang together: inputs, parameters, imported artifacts, order."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Collection, Iterator

from applications.errors import near_name
from pipeline.kubeflow_faults import Fault, fault, task_place
from pipeline.kubeflow_spec import Dag, Json, KubeflowSpec, declared, given


def producers(spec: KubeflowSpec) -> Iterator[Fault]:
    """Whatever a task waits for or takes must be a task, and an output of it, in the same DAG."""
    for dag in spec.dags():
        for name, task in dag.tasks.items():
            for wanted in task.get("dependentTasks") or []:
                if wanted not in dag.tasks:
                    yield _dangling(dag, name, "it waits for", wanted)
            for key, wanted, side, output in _taken(task):
                if wanted not in dag.tasks:
                    yield _dangling(dag, name, f"its input {key!r} comes from", wanted)
                    continue
                outputs = declared(spec.component_of(dag.tasks[wanted]), "outputDefinitions", side)
                if side and output not in outputs:
                    what = f"its input {key!r} is output {output!r} of task {wanted!r}, which has "
                    yield fault(
                        task_place(dag, name), f"{what}{', '.join(outputs) or 'none'}.", "Name one that the task has."
                    )
        for key, wanted in _handed_out(dag.component):
            if wanted not in dag.tasks:
                what = f"its output {key!r} comes from task {wanted!r}, which is not in it."
                yield fault(dag.name, f"{what}{near_name(wanted, list(dag.tasks))}", "Name a task of the same DAG.")


def parameter_values(spec: KubeflowSpec) -> Iterator[Fault]:
    """A parameter without default needs a value from the task."""
    for dag in spec.dags():
        for name, task in dag.tasks.items():
            values = given(task, "parameters")
            for key, parameter in declared(spec.component_of(task), "inputDefinitions", "parameters").items():
                is_free = "defaultValue" in parameter or parameter.get("isOptional") or task.get("parameterIterator")
                if key not in values and not is_free:
                    what = f"parameter {key!r} has neither value nor default."
                    yield fault(task_place(dag, name), what, "Give it one of them.")


def handed_on(spec: KubeflowSpec) -> Iterator[Fault]:
    """What a task takes from the DAG around it must be among the inputs of that DAG."""
    for dag in spec.dags():
        remedy = (
            f"Declare it in inputDefinitions of {dag.name} and hand it on; TFX forgets that for runtime parameters "
            "under an exit handler."
        )
        for name, task in dag.tasks.items():
            item = (task.get("parameterIterator") or {}).get("itemInput")
            for key, value in [*given(task, "parameters").items(), *given(task, "artifacts").items()]:
                wanted = value.get("componentInputParameter") or value.get("componentInputArtifact") or ""
                if wanted and wanted != item and wanted not in {*dag.parameters, *dag.artifacts}:
                    what = f"{key!r} takes {wanted!r} from {dag.name}, which declares no such input."
                    yield fault(task_place(dag, name), what, remedy)


def artifact_values(spec: KubeflowSpec) -> Iterator[Fault]:
    """An artifact that is not optional must come from somewhere."""
    for dag in spec.dags():
        for name, task in dag.tasks.items():
            values = given(task, "artifacts")
            for key, artifact in declared(spec.component_of(task), "inputDefinitions", "artifacts").items():
                if key not in values and not artifact.get("isOptional") and not task.get("artifactIterator"):
                    yield fault(
                        task_place(dag, name), f"its input {key!r} comes from nowhere.", "Wire it to an output."
                    )


def root_parameters(spec: KubeflowSpec, known: Collection[str] = ()) -> Iterator[Fault]:
    """A parameter of the pipeline without default makes every run fail that does not give it.

    Args:
        spec: to look at.
        known: names of parameters that whoever starts the run will give.
    """
    root = next(spec.dags())
    for name, parameter in root.parameters.items():
        if "defaultValue" not in parameter and not parameter.get("isOptional") and name not in known:
            yield fault(
                f"root, parameter {name}",
                "it has no default, so a run that does not give it fails.",
                "Put defaultValue into root.inputDefinitions (TFX drops the default of a RuntimeParameter), or check "
                f"with --param {name} if every run gives it.",
            )


def importers(spec: KubeflowSpec) -> Iterator[Fault]:
    """An imported artifact is a URI with a scheme, and is imported whatever happens."""
    for dag in spec.dags():
        for name, task in dag.tasks.items():
            importer = spec.executors.get(str(spec.component_of(task).get("executorLabel")), {}).get("importer")
            if not importer:
                continue
            if (task.get("triggerPolicy") or {}).get("condition"):
                what = "it imports an artifact on a condition, which the server does not compile."
                yield fault(task_place(dag, name), what, "Import it always, and hang what uses it on the condition.")
            uri = _imported_uri(spec, dag, task, importer)
            if uri is not None and not re.match(r"[a-z][a-z0-9+.-]*://", str(uri)):
                yield fault(
                    task_place(dag, name),
                    f"an imported artifact is a URI with a scheme, got {uri!r}.",
                    "Put it where pods can reach it, and name it as s3://, gs:// or minio://.",
                )


def cycles(spec: KubeflowSpec) -> Iterator[Fault]:
    """No task may wait for itself, and no DAG may hold itself."""
    for dag in spec.dags():
        waits = {name: _waits_for(task) & dag.tasks.keys() for name, task in dag.tasks.items()}
        if circle := _circle(waits):
            yield fault(dag.name, f"its tasks wait for each other: {' → '.join(circle)}.", "Take one of them out.")
    holds = {
        dag.name: {(task.get("componentRef") or {}).get("name", "") for task in dag.tasks.values()}
        for dag in spec.dags()
    }
    if circle := _circle(holds):
        yield fault("components", f"DAGs hold each other: {' → '.join(circle)}.", "Take one of them out.")


def _dangling(dag: Dag, name: str, how: str, wanted: str) -> Fault:
    hint = near_name(wanted, list(dag.tasks))
    is_tfx_fault = wanted.endswith("_task") and wanted.removesuffix("_task") in dag.tasks
    return fault(
        task_place(dag, name),
        f"{how} task {wanted!r}, which is not in {dag.name}.{hint}",
        "TFX writes a node's output that is used as a parameter so; hand the value on as an artifact."
        if is_tfx_fault
        else "Name a task of the same DAG.",
    )


def _taken(task: Json) -> Iterator[tuple[str, str, str, str]]:
    """Yields for each input from another task its key, that task, "parameters" or "artifacts", and the output."""
    for key, value in given(task, "artifacts").items():
        if found := value.get("taskOutputArtifact"):
            yield key, str(found.get("producerTask")), "artifacts", str(found.get("outputArtifactKey"))
    for key, value in given(task, "parameters").items():
        if found := value.get("taskOutputParameter"):
            yield key, str(found.get("producerTask")), "parameters", str(found.get("outputParameterKey"))
        if found := value.get("taskFinalStatus"):
            yield key, str(found.get("producerTask")), "", ""


def _handed_out(component: Json) -> Iterator[tuple[str, str]]:
    """Yields for each output of a DAG its key and the task it comes from."""
    outputs = (component.get("dag") or {}).get("outputs") or {}
    for key, value in (outputs.get("artifacts") or {}).items():
        for found in value.get("artifactSelectors") or []:
            yield key, str(found.get("producerSubtask"))
    for key, value in (outputs.get("parameters") or {}).items():
        if found := value.get("valueFromParameter"):
            yield key, str(found.get("producerSubtask"))


def _waits_for(task: Json) -> set[str]:
    return {*(task.get("dependentTasks") or []), *(producer for _, producer, _, _ in _taken(task))}


def _imported_uri(spec: KubeflowSpec, dag: Dag, task: Json, importer: Json) -> object:
    """Returns the URI as far as the file tells it, else None."""
    told = importer.get("artifactUri") or {}
    if "runtimeParameter" not in told:
        return told.get("constant")
    value = given(task, "parameters").get(told["runtimeParameter"], {})
    if "runtimeValue" in value:
        return (value["runtimeValue"] or {}).get("constant")
    name = value.get("componentInputParameter")
    return dag.parameters.get(name, {}).get("defaultValue") if name else None


def _circle(edges: dict[str, set[str]]) -> list[str]:
    """Returns one circle of a graph, its first node again at the end; [] where there is none."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return [str(name) for name in error.args[1]]
    return []
