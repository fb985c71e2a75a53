"""A compiled pipeline spec for Kubeflow Pipelines, read from YAML. Light: neither kfp nor TFX."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml

from applications.errors import ConfigError

Json: TypeAlias = dict[str, Any]

ROOT = "root"  # name of the outermost DAG
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a spec has thousands of lines


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dag:
    """One DAG of a spec.

    Attributes:
        name: "root", or the component that it is.
        component: the whole component.
    """

    name: str
    component: Json

    @property
    def tasks(self) -> dict[str, Json]:
        """The tasks by name."""
        tasks: dict[str, Json] = _mapping(_mapping(self.component.get("dag")).get("tasks"))
        return {name: _mapping(task) for name, task in tasks.items()}

    @property
    def parameters(self) -> dict[str, Json]:
        """The parameters that it takes, by name."""
        return declared(self.component, "inputDefinitions", "parameters")

    @property
    def artifacts(self) -> dict[str, Json]:
        """The artifacts that it takes, by key."""
        return declared(self.component, "inputDefinitions", "artifacts")


@dataclasses.dataclass(frozen=True, kw_only=True)
class KubeflowSpec:
    """Both documents of a file.

    Attributes:
        pipeline: PipelineSpec in its JSON form.
        platform: PlatformSpec in its JSON form; {} where the file has none.
    """

    pipeline: Json
    platform: Json

    @property
    def components(self) -> dict[str, Json]:
        """The components by name."""
        return {name: _mapping(found) for name, found in _mapping(self.pipeline.get("components")).items()}

    @property
    def executors(self) -> dict[str, Json]:
        """The executors by label."""
        found = _mapping(_mapping(self.pipeline.get("deploymentSpec")).get("executors"))
        return {label: _mapping(executor) for label, executor in found.items()}

    def dags(self) -> Iterator[Dag]:
        """Yields the root and every component that is a DAG."""
        yield Dag(name=ROOT, component=_mapping(self.pipeline.get("root")))
        for name, component in self.components.items():
            if "dag" in component:
                yield Dag(name=name, component=component)

    def component_of(self, task: Json) -> Json:
        """Returns the component a task refers to, {} where there is none."""
        return self.components.get(_mapping(task.get("componentRef")).get("name", ""), {})

    def platform_executors(self) -> dict[str, Json]:
        """Returns what the platform `kubernetes` says of each executor."""
        kubernetes = _mapping(_mapping(self.platform.get("platforms")).get("kubernetes"))
        return _mapping(_mapping(kubernetes.get("deploymentSpec")).get("executors"))


def declared(component: Json, side: str, kind: str) -> dict[str, Json]:
    """Returns what a component declares.

    Args:
        component: of a spec.
        side: "inputDefinitions" or "outputDefinitions".
        kind: "parameters" or "artifacts".
    """
    found = _mapping(_mapping(component.get(side)).get(kind))
    return {name: _mapping(value) for name, value in found.items()}


def given(task: Json, kind: str) -> dict[str, Json]:
    """Returns what a task gives to its component: "parameters" or "artifacts" by name."""
    return {name: _mapping(value) for name, value in _mapping(_mapping(task.get("inputs")).get(kind)).items()}


def read(path: pathlib.Path) -> KubeflowSpec:
    """Reads a file of one or two documents; JSON is YAML, too.

    Raises:
        ConfigError: it cannot be read, is no YAML, or does not hold one or two mappings.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        documents = [found for found in yaml.load_all(text, Loader=_Loader) if found]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"a pipeline spec must be a readable YAML file, got {str(path)!r}: {reason}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        last = text.rstrip().count("\n")
        is_end = mark is not None and mark.line >= last
        line = f" line {min(mark.line, last) + 1}" if mark else ""
        hint = " The file ends there: it looks cut off. Copy it again, or compile the pipeline again." if is_end else ""
        raise ConfigError(f"{path.name}{line} is not valid YAML: {getattr(error, 'problem', error)}.{hint}") from error
    if not documents:
        raise ConfigError(f"{path.name} is empty, or holds nothing but comments. Compile the pipeline again.")
    if not 1 <= len(documents) <= 2 or not all(isinstance(found, dict) for found in documents):  # noqa: PLR2004
        raise ConfigError(
            f"{path.name} must hold a pipeline spec and perhaps a platform document, each a mapping, got "
            f"{len(documents)} documents. Make it with `earthloop compile`, or with the compiler of kfp."
        )
    platform = [found for found in documents if "platforms" in found]
    pipeline = [found for found in documents if "platforms" not in found]
    if len(pipeline) != 1:
        raise ConfigError(f"{path.name} must hold one pipeline spec, got {len(pipeline)}. Compile it again.")
    return KubeflowSpec(pipeline=pipeline[0], platform=platform[0] if platform else {})


def _mapping(found: object) -> Json:
    return found if isinstance(found, dict) else {}
