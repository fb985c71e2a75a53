"""Parameters of the pipeline on Kubeflow: what a submitter may change without compiling again.

Our stages take their settings as JSON text. A task on Kubeflow gets a parameter's value as one more input whose name
says where in that text it belongs: `settings--blessing--at_least` replaces `at_least` of `blessing` in the property
`settings`. The entry point calls `applied`, so an executor sees nothing but final values.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from applications.errors import ConfigError

SEPARATOR = "--"  # in names of inputs, as the KFP SDK joins its own


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineParameter:
    """One parameter of the pipeline.

    Attributes:
        name: what a submitter calls it.
        kind: its type in the pipeline spec.
        path: where the configuration has it; () where it has not.
        properties: execution properties that are the value itself.
        description: for people.
    """

    name: str
    kind: str
    path: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    description: str


PARAMETERS = (
    PipelineParameter(
        name="data",
        kind="STRING",
        path=("data",),
        properties=("data_path", "input_base"),
        description="Raw data as the pods see it: folder, URI, or a pattern of spans.",
    ),
    PipelineParameter(
        name="run_name", kind="STRING", properties=("run_name",), description="What people call the run."
    ),
    PipelineParameter(
        name="epochs",
        kind="NUMBER_INTEGER",
        path=("train", "epochs"),
        description="At most so many passes over the training split.",
    ),
    PipelineParameter(
        name="at_least",
        kind="NUMBER_DOUBLE",
        path=("blessing", "at_least"),
        description="The lower end of the judged metric's interval must reach it, 0 to 1.",
    ),
    PipelineParameter(
        name="worst_class_at_least",
        kind="NUMBER_DOUBLE",
        path=("blessing", "worst_class_at_least"),
        description="Recall of the weakest class must reach it, 0 to 1.",
    ),
    PipelineParameter(
        name="push_destination",
        kind="STRING",
        path=("push", "destination"),
        properties=("destination",),
        description="The serving folder, on storage that all pods mount.",
    ),
    PipelineParameter(
        name="run_unchanged",
        kind="BOOLEAN",
        properties=("run_unchanged",),
        description="Whether to train although nothing changed since the last run.",
    ),
)


def applied(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Puts the values of pipeline parameters where the names of their inputs say.

    Args:
        properties: execution properties of one task, as its container is told.

    Returns:
        The properties the executor takes. Text into which no other value is put stays as it is, byte by byte.

    Raises:
        ConfigError: the property has no such place, or the value is of another type than the one it replaces.
    """
    final = {name: value for name, value in properties.items() if SEPARATOR not in name}
    for name, value in properties.items():
        target, *path = name.split(SEPARATOR)
        if path:
            final[target] = _replaced(final.get(target, "{}"), path, value, name)
    return final


def has_place(document: object, path: Sequence[str]) -> bool:
    """Returns whether a JSON document has a value at a path."""
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True


def _replaced(text: str, path: Sequence[str], value: Any, name: str) -> str:
    document = json.loads(text)
    if not has_place(document, path):
        raise ConfigError(f"input {name!r} must name a setting that its task has. Compile the pipeline again.")
    place = document
    for key in path[:-1]:
        place = place[key]
    new = _as_type_of(place[path[-1]], value, name)
    if new == place[path[-1]]:
        return text
    place[path[-1]] = new
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def _as_type_of(old: Any, value: Any, name: str) -> Any:
    """Gives a number the type of the one it replaces: all numbers of a pipeline spec are floats."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(old, str) and isinstance(value, str):
        return value
    if isinstance(old, float) and is_number:
        return float(value)
    if isinstance(old, int) and is_number and float(value).is_integer():
        return int(value)
    raise ConfigError(f"input {name!r} must be like {old!r}, got {value!r}. Start the run with another value.")
