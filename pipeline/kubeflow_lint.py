"""What open-source Kubeflow Pipelines refuses, or fails at once: one small rule per construct.

The server checks little when a spec is uploaded and the rest when a run is created, in its own words, one fault at a
time. These rules hold for any spec of version 2.1, whoever made it. Light: neither kfp nor TFX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator

from applications.errors import ConfigError
from pipeline import kubeflow_lint_parts as parts
from pipeline import kubeflow_lint_wiring as wiring
from pipeline.kubeflow_faults import Fault
from pipeline.kubeflow_spec import KubeflowSpec

_FIRST: tuple[Callable[[KubeflowSpec], Iterator[Fault]], ...] = (parts.whole_file, parts.schema_version)
RULES: tuple[Callable[[KubeflowSpec], Iterator[Fault]], ...] = (
    parts.pipeline_name,
    parts.task_names,
    parts.references,
    parts.executors,
    parts.lifecycles,
    parts.retries,
    parts.storage,
    wiring.producers,
    wiring.parameter_values,
    wiring.handed_on,
    wiring.artifact_values,
    wiring.importers,
    wiring.cycles,
    parts.platforms,
    parts.artifact_types,
)


def lint(spec: KubeflowSpec, known: Collection[str] = ()) -> list[Fault]:
    """Holds a spec against all rules.

    Args:
        spec: to look at.
        known: names of the pipeline's parameters that whoever starts the run will give.

    Returns:
        The faults; where the file is no whole pipeline, or of another version, that alone.
    """
    for first in _FIRST:
        if found := _named(first.__name__, first(spec)):
            return found
    faults: list[Fault] = []
    for rule in RULES:
        faults += _named(rule.__name__, rule(spec))
    return faults + _named(wiring.root_parameters.__name__, wiring.root_parameters(spec, known))


def require_clean(spec: KubeflowSpec, name: str, known: Collection[str] = ()) -> None:
    """Refuses a spec with faults; the arguments are those of `lint`, and the name for the text.

    Raises:
        ConfigError: lists them all.
    """
    faults = lint(spec, known)
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise ConfigError(f"{name} would fail on the cluster:\n{lines}")


def _named(rule: str, faults: Iterator[Fault]) -> list[Fault]:
    return [dataclasses.replace(fault, rule=rule.replace("_", "-")) for fault in faults]
