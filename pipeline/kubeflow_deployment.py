"""What a cluster is told beside the pipeline: image, storage, and what each stage's pod gets. From a YAML file."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import yaml

from applications.errors import ConfigError, UnknownName
from applications.settings import require
from pipeline import config_values
from pipeline.config_values import Given, Located
from pipeline.stage_names import STAGES

VERSION = 1
OUTCOME = "report-outcome"  # the exit handler, which is no stage of the pipeline itself
_CPU = re.compile(r"\d+(\.\d+)?|\d+m|")
_MEMORY = re.compile(r"\d+(\.\d+)?([EPTGM]i?|Ki)?|")
_Kind = TypeVar("_Kind")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecretEnv:
    """One key of a Kubernetes secret as an environment variable."""

    secret: str  # name of the secret
    key: str  # key in it
    env: str  # name of the variable


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecretVolume:
    """A Kubernetes secret as a folder with a file per key."""

    secret: str  # name of the secret
    mount_path: str  # absolute path of the folder in the container

    def __post_init__(self) -> None:
        _require_path(self.mount_path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Volume:
    """A persistent volume claim that is there already."""

    claim: str  # its name
    mount_path: str  # absolute path in the container
    sub_path: str = ""  # folder of the volume that is mounted; "" mounts all of it

    def __post_init__(self) -> None:
        _require_path(self.mount_path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint that does not keep a pod off a node; as Kubernetes defines it."""

    key: str = ""  # "" with operator Exists means every taint
    operator: Literal["Equal", "Exists"] = "Equal"  # Exists asks for no value
    value: str = ""  # of the taint
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""  # "" means all


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageDeployment:
    """What the pod of a stage gets. Amounts are Kubernetes quantities, such as 500m or 8Gi; "" says nothing."""

    image: str = ""  # instead of the deployment's
    cpu_request: str = ""  # cores that are set aside
    cpu_limit: str = ""  # cores at most
    memory_request: str = ""  # that is set aside
    memory_limit: str = ""  # at most; beyond it the pod is killed
    accelerator_type: str = ""  # resource name, such as nvidia.com/gpu
    accelerator_count: int = 0  # how many of them
    shm: str = ""  # size of /dev/shm; "" leaves the node's 64 MiB
    retries: int = 0  # further attempts after a failure
    retry_after_s: int = 30  # seconds before the first of them; doubles each time
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)  # environment variables
    secrets_as_env: tuple[SecretEnv, ...] = ()
    secrets_as_volumes: tuple[SecretVolume, ...] = ()
    volumes: tuple[Volume, ...] = ()
    node_selector: Mapping[str, str] = dataclasses.field(default_factory=dict)  # labels a node must have
    tolerations: tuple[Toleration, ...] = ()
    image_pull_secrets: tuple[str, ...] = ()  # names of secrets of type kubernetes.io/dockerconfigjson

    def __post_init__(self) -> None:
        for name, pattern, example in (
            ("cpu_request", _CPU, "2 or 500m"),
            ("cpu_limit", _CPU, "2 or 500m"),
            ("memory_request", _MEMORY, "8Gi"),
            ("memory_limit", _MEMORY, "8Gi"),
            ("shm", _MEMORY, "2Gi"),
        ):
            value = getattr(self, name)
            require(pattern.fullmatch(value) is not None, name, f"a Kubernetes quantity such as {example}", value)
        require(0 <= self.accelerator_count <= 64, "accelerator_count", "from 0 to 64", self.accelerator_count)  # noqa: PLR2004
        is_typed = bool(self.accelerator_type) == bool(self.accelerator_count)
        require(is_typed, "accelerator_type", "given with accelerator_count, both or neither", self.accelerator_type)
        require(0 <= self.retries <= 10, "retries", "from 0 to 10", self.retries)  # noqa: PLR2004
        require(self.retry_after_s >= 0, "retry_after_s", "0 seconds or more", self.retry_after_s)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deployment:
    """A cluster as the pipeline needs to know it."""

    version: int = VERSION  # of this layout
    image: str = "earthloop:latest"  # that `kubeflow/Dockerfile` builds, under the name by which nodes can pull it
    pipeline_root: str = ""  # minio://, s3:// or gs:// URI for artifacts; "" means the cluster's own
    push_destination: str = "/earthloop/serving"  # serving folder where push.destination names none
    final_status: bool = True  # tell the exit handler how the run ended; servers before KFP 2.14 refuse it
    every_stage: StageDeployment = StageDeployment()
    stages: Mapping[str, StageDeployment] = dataclasses.field(default_factory=dict)  # with what every stage has

    def __post_init__(self) -> None:
        require(self.version == VERSION, "version", str(VERSION), self.version)
        require(bool(self.image), "image", "the name of an image", self.image)
        is_uri = not self.pipeline_root or "://" in self.pipeline_root
        require(is_uri, "pipeline_root", "a URI such as minio://bucket/path", self.pipeline_root)
        is_folder = "://" not in self.push_destination
        require(is_folder, "push_destination", "a folder on a volume of the pods", self.push_destination)

    def of(self, stage: str) -> StageDeployment:
        """Returns what a stage's pod gets."""
        return self.stages.get(stage, self.every_stage)


def read(path: pathlib.Path) -> Deployment:
    """Reads a deployment's YAML file.

    Mappings and lists of a stage are added to those of `every_stage`; any other value replaces it.

    Raises:
        ConfigError: the file is not readable YAML, or a value is missing, of the wrong type or out of range.
        UnknownName: a setting or stage does not exist; the text names the near one.
    """
    located = config_values.read_yaml(path, "--deployment")
    stages = located.pop("stages", None)
    base = _build(Deployment(), located, "")
    return dataclasses.replace(base, stages=_stages(stages, base.every_stage) if stages else {})


def _stages(located: Located, base: StageDeployment) -> dict[str, StageDeployment]:
    found = {}
    for name, (node, place) in config_values.pairs(located[0], "stages", located[1]).items():
        known = (*STAGES, OUTCOME)
        if name not in known:
            raise _placed(UnknownName("stage", name, known), place)
        found[name] = _build(base, config_values.pairs(node, name, place), f"stages.{name}")
    return found


def _build(base: _Kind, located: Mapping[str, Located], name: str) -> _Kind:
    """Replaces what is given in a dataclass; mappings and lists are added to."""
    kinds = config_values.field_types(type(base))
    values = {}
    for key, (node, place) in located.items():
        if key not in kinds:
            raise _placed(UnknownName(f"{name or 'deployment'} setting", key, list(kinds)), place)
        old = getattr(base, key)
        new = _value(kinds[key], node, f"{name}.{key}".lstrip("."), place, old)
        is_added = not isinstance(old, str | int | float) and not dataclasses.is_dataclass(old)
        values[key] = (old + new if isinstance(old, tuple) else {**old, **new}) if is_added else new
    return _made(functools.partial(dataclasses.replace, base, **values), name, located)  # type: ignore[type-var]


def _item(kind: Any, node: yaml.Node, name: str, place: str) -> Any:
    """Makes one item of a list of mappings."""
    located = config_values.pairs(node, name, place)
    kinds = config_values.field_types(kind)
    for key, (_, where) in located.items():
        if key not in kinds:
            raise _placed(UnknownName(f"{name} setting", key, list(kinds)), where)
    needed = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    missing = [key for key in needed if key not in located]
    if missing:
        raise ConfigError(f"{name} must have {', '.join(needed)}, but lacks {', '.join(missing)} ({place}).")
    values = {key: _value(kinds[key], value, f"{name}.{key}", where, "") for key, (value, where) in located.items()}
    return _made(functools.partial(kind, **values), name, located)


def _value(kind: Any, node: yaml.Node, name: str, place: str, default: Any) -> Any:
    """Turns a YAML node into a field's type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build(default, config_values.pairs(node, name, place), name)
    if origin is tuple and dataclasses.is_dataclass(inner[0]):
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigError(
                f"{name} must be a list, each item with a dash, got {config_values.plain(node)!r} ({place})."
            )
        file = place.partition(" line ")[0]
        return tuple(_item(inner[0], item, name, f"{file} line {item.start_mark.line + 1}") for item in node.value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        pairs = config_values.pairs(node, name, place)
        return {key: _value(inner[1], value, f"{name}.{key}", where, "") for key, (value, where) in pairs.items()}
    value = config_values.plain(node)
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(node.value)  # `cpu_limit: 2` means "2"
    return config_values.convert(Given(key=name, value=value, place=place), kind, default)


def _made(make: functools.partial[_Kind], name: str, located: Mapping[str, Located]) -> _Kind:
    """Makes a dataclass; what it refuses is told with its place."""
    try:
        return make()
    except ConfigError as error:
        places = [place for key, (_, place) in located.items() if str(error).startswith(f"{key} ")]
        text = f"{name}.{error}" if name else str(error)
        raise ConfigError(f"{text} It comes from {places[0]}." if places else text) from error


def _placed(error: UnknownName, place: str) -> UnknownName:
    error.args = (f"{place}: {error}",)
    return error


def _require_path(path: str) -> None:
    require(path.startswith("/"), "mount_path", "an absolute path in the container", path)
