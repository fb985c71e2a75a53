"""Puts into a compiled pipeline spec what TFX cannot say: parameters with defaults, caching, resources, retries.

All functions take a spec in its JSON form and change it in place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.kubeflow_deployment import OUTCOME, Deployment, StageDeployment, Toleration
from pipeline.kubeflow_parameters import PARAMETERS, SEPARATOR, PipelineParameter, has_place
from pipeline.kubeflow_spec import Json

STAGES_DAG = "tfx-dag"  # the task that holds all stages where there is an exit handler
NEVER_CACHED = ("spans", "baseline", "ingest", "push", OUTCOME)  # what they read or write lies outside the run
_INPUTS_SPEC = "--json_serialized_inputs_spec_args"
_TRIED_FOR_S = 7 * 86_400  # Argo counts from the first attempt's beginning; without it Kubeflow tries nothing again
_GIB_PER = {"E": 1e9, "P": 1e6, "T": 1e3, "G": 1.0, "M": 1e-3, "": 1e-9}  # in units of 10⁹ bytes


def add_parameters(spec: Json, defaults: Mapping[str, Any]) -> None:
    """Turns constants that a submitter may change into parameters of the pipeline.

    Args:
        spec: whose tasks hold constants; its stages lie in a DAG of their own, under an exit handler.
        defaults: value per name of a parameter; a parameter that no task takes is left out.
    """
    for parameter in PARAMETERS:
        inside = [_connect(spec, task, parameter) for task in stage_tasks(spec).values()]
        outside = [_connect(spec, task, parameter) for task in spec["root"]["dag"]["tasks"].values()]
        if any(inside):
            _declare(spec["components"][STAGES_DAG], parameter.name, {"parameterType": parameter.kind})
            holder = spec["root"]["dag"]["tasks"][STAGES_DAG]
            _inputs(holder)[parameter.name] = {"componentInputParameter": parameter.name}
        if any(inside) or any(outside):
            told = {"parameterType": parameter.kind, "defaultValue": defaults[parameter.name], "isOptional": True}
            _declare(spec["root"], parameter.name, {**told, "description": parameter.description})
    for executor in containers(spec).values():
        _tell_inputs(executor, spec)


def set_caching(spec: Json) -> None:
    """Lets the cache answer for all tasks but those that look at something outside the run."""
    for name, task in all_tasks(spec):
        task["cachingOptions"] = {} if name in NEVER_CACHED or name == STAGES_DAG else {"enableCache": True}


def deploy(spec: Json, deployment: Deployment) -> None:
    """Puts image, resources, environment, retries and the root of artifacts where the spec has them."""
    found = containers(spec)
    for name, task in all_tasks(spec):
        label = spec["components"][task["componentRef"]["name"]].get("executorLabel", "")
        if label not in found:
            continue
        stage = deployment.of(name)
        container = found[label]
        container.pop("lifecycle", None)  # a driver that Kubeflow never calls; our entry point does its work
        container["image"] = stage.image or deployment.image
        if stage.env:
            container["env"] = [{"name": key, "value": value} for key, value in sorted(stage.env.items())]
        if resources := _resources(stage):
            container["resources"] = resources
        if stage.retries:
            task["retryPolicy"] = {
                "maxRetryCount": stage.retries,
                "backoffDuration": f"{stage.retry_after_s}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": f"{_TRIED_FOR_S}s",
            }
    if deployment.pipeline_root:
        spec["defaultPipelineRoot"] = deployment.pipeline_root


def platform(spec: Json, deployment: Deployment) -> Json:
    """Returns the `kubernetes` platform document, {} where there is nothing to say.

    Args:
        spec: whose executors it speaks of.
        deployment: what their pods get.
    """
    executors = {}
    for name, task in all_tasks(spec):
        label = spec["components"][task["componentRef"]["name"]].get("executorLabel", "")
        if label and (config := _pod(deployment.of(name))):
            executors[label] = config
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}} if executors else {}


def stage_tasks(spec: Json) -> Json:
    """Returns the tasks of the stages by name."""
    tasks: Json = spec["components"].get(STAGES_DAG, {}).get("dag", {}).get("tasks", {})
    return tasks


def all_tasks(spec: Json) -> Iterator[tuple[str, Json]]:
    """Yields the name and spec of each task, those of the root first."""
    yield from spec["root"]["dag"]["tasks"].items()
    yield from stage_tasks(spec).items()


def containers(spec: Json) -> dict[str, Json]:
    """Returns the container of each executor by its label."""
    executors = spec["deploymentSpec"]["executors"]
    return {label: executor["container"] for label, executor in executors.items() if "container" in executor}


def _connect(spec: Json, task: Json, parameter: PipelineParameter) -> bool:
    """Gives a task a parameter wherever it holds that value; returns whether it does."""
    names = [name for name in task.get("inputs", {}).get("parameters", {}) if name in parameter.properties]
    names += [
        SEPARATOR.join((name, *parameter.path))
        for name, given in task.get("inputs", {}).get("parameters", {}).items()
        if parameter.path and has_place(_document(given), parameter.path)
    ]
    for name in names:
        _inputs(task)[name] = {"componentInputParameter": parameter.name}
        _declare(spec["components"][task["componentRef"]["name"]], name, {"parameterType": parameter.kind})
    return bool(names)


def _document(given: Json) -> object:
    """Returns what a constant holds where it is JSON text, else None."""
    constant = given.get("runtimeValue", {}).get("constant")
    if not isinstance(constant, str) or not constant.startswith("{"):
        return None
    try:
        return json.loads(constant)
    except ValueError:
        return None


def _declare(component: Json, name: str, parameter: Json) -> None:
    component.setdefault("inputDefinitions", {}).setdefault("parameters", {})[name] = parameter


def _inputs(task: Json) -> Json:
    parameters: Json = task.setdefault("inputs", {}).setdefault("parameters", {})
    return parameters


def _tell_inputs(container: Json, spec: Json) -> None:
    """Tells an entry point the types of its inputs as they are now."""
    args = container.get("args", [])
    if _INPUTS_SPEC not in args:
        return
    label = next(label for label, found in containers(spec).items() if found is container)
    component = next(found for found in spec["components"].values() if found.get("executorLabel") == label)
    args[args.index(_INPUTS_SPEC) + 1] = json.dumps(component.get("inputDefinitions", {}), indent=1, sort_keys=True)


def _resources(stage: StageDeployment) -> Json:
    """Returns requests and limits in both forms: numbers for older servers, text for newer ones."""
    found: Json = {}
    for name, value in (("CpuRequest", stage.cpu_request), ("CpuLimit", stage.cpu_limit)):
        if value:
            found[f"resource{name}"] = value
            found[name[0].lower() + name[1:]] = _cores(value)
    for name, value in (("MemoryRequest", stage.memory_request), ("MemoryLimit", stage.memory_limit)):
        if value:
            found[f"resource{name}"] = value
            found[name[0].lower() + name[1:]] = _gigabytes(value)
    if stage.accelerator_type:
        count = str(stage.accelerator_count)
        found["accelerator"] = {
            "type": stage.accelerator_type,
            "resourceType": stage.accelerator_type,
            "count": count,
            "resourceCount": count,
        }
    return found


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def _gigabytes(quantity: str) -> float:
    """Returns a quantity in units of 10⁹ bytes."""
    number = quantity.rstrip("EPTGMKi")
    unit = quantity.removeprefix(number)
    if unit.endswith("i"):
        return float(number) * 2.0 ** (10 * ("KMGTPE".index(unit[0]) + 1)) / 1e9
    return float(number) * _GIB_PER[unit]


def _pod(stage: StageDeployment) -> Json:
    """Returns what the spec itself cannot say of a pod, in the form of `KubernetesExecutorConfig`."""
    found: Json = {
        "secretAsEnv": [
            {
                "secretName": each.secret,
                "secretNameParameter": _constant(each.secret),
                "keyToEnv": [{"secretKey": each.key, "envVar": each.env}],
            }
            for each in stage.secrets_as_env
        ],
        "secretAsVolume": [
            {
                "secretName": each.secret,
                "secretNameParameter": _constant(each.secret),
                "mountPath": each.mount_path,
            }
            for each in stage.secrets_as_volumes
        ],
        "pvcMount": [
            {
                "constant": each.claim,
                "pvcNameParameter": _constant(each.claim),
                "mountPath": each.mount_path,
                **({"subPath": each.sub_path} if each.sub_path else {}),
            }
            for each in stage.volumes
        ],
        "tolerations": [_toleration(each) for each in stage.tolerations],
        "imagePullSecret": [
            {"secretName": name, "secretNameParameter": _constant(name)} for name in stage.image_pull_secrets
        ],
    }
    if stage.node_selector:
        found["nodeSelector"] = {"labels": dict(stage.node_selector)}
    if stage.shm:
        found["emptyDirMounts"] = [
            {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": stage.shm}
        ]
    return {key: value for key, value in found.items() if value}


def _toleration(toleration: Toleration) -> Json:
    told = {name: getattr(toleration, name) for name in ("key", "operator", "value", "effect")}
    return {name: value for name, value in told.items() if value}


def _constant(value: str) -> Json:
    return {"runtimeValue": {"constant": value}}
