"""Values of parameters and metadata, and what becomes of them on their way through the backend."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from applications.errors import StageError, UnknownName, UsageError

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_READERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "STRING": ("text", str),
    "NUMBER_INTEGER": ("a whole number", int),
    "NUMBER_DOUBLE": ("a number", float),
    "BOOLEAN": ("true or false", lambda text: _TRUTH[text.lower()]),
    "LIST": ("a JSON list", lambda text: _json_of(list, text)),
    "STRUCT": ("a JSON object", lambda text: _json_of(dict, text)),
}
_KINDS: Mapping[str, tuple[type, ...]] = {
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
    "TASK_FINAL_STATUS": (dict,),
    "TASK_CONFIG": (dict,),
}


def pipeline_parameters(definitions: Mapping[str, Mapping[str, Any]], given: Sequence[str]) -> dict[str, Any]:
    """Returns the value of every parameter of a pipeline.

    Args:
        definitions: by name, as in the spec: `parameterType`, `defaultValue`, `isOptional`.
        given: words `name=value`.

    Raises:
        UnknownName: the pipeline has no such parameter.
        UsageError: a word has no `=`, a value is not of its type, or a parameter has neither value nor default.
    """
    found: dict[str, Any] = {name: spec.get("defaultValue") for name, spec in definitions.items()}
    for word in given:
        name, is_there, text = word.partition("=")
        if not is_there:
            raise UsageError(f"a parameter must be given as NAME=VALUE, got --param {word!r}.")
        if name not in definitions:
            raise UnknownName("pipeline parameter", name, list(definitions))
        found[name] = read(text, str(definitions[name].get("parameterType", "STRING")), f"--param {name}")
    missing = [name for name, value in found.items() if value is None and not definitions[name].get("isOptional")]
    if missing:
        raise UsageError(
            f"every parameter of the pipeline needs a value, and {', '.join(missing)} has none and no default. "
            f"Give it: --param {missing[0]}=VALUE."
        )
    return {name: number(value) for name, value in found.items()}


def read(text: str, kind: str, where: str) -> Any:
    """Reads a value of a parameter type; raises `UsageError` naming `where`."""
    wanted, reader = _READERS.get(kind, _READERS["STRING"])
    try:
        return reader(text)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{where} must be {wanted}, got {text!r}.") from error


def _json_of(kind: type, text: str) -> Any:
    value = json.loads(text)
    if not isinstance(value, kind):
        raise ValueError(text)
    return value


def number(value: Any) -> Any:
    """Returns a value with its whole numbers as int, which is how the backend writes them in JSON."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [number(each) for each in value]
    if isinstance(value, dict):
        return {key: number(each) for key, each in value.items()}
    return value


def as_text(value: Any) -> str:
    """Returns a value as the backend writes it into a command line or a text parameter."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(number(value), separators=(",", ":"), ensure_ascii=False)


def converted(value: Any, kind: str, where: str) -> Any:
    """Returns a value as a parameter of a type, which takes anything as text and else nothing but its own.

    Raises:
        StageError: the value is of another type; the backend's driver fails there, too.
    """
    if kind not in _KINDS:
        return as_text(value)
    is_right = isinstance(value, _KINDS[kind]) and (kind == "BOOLEAN" or not isinstance(value, bool))
    if not is_right:
        raise StageError(f"{where} must be of type {kind}, got {value!r}.")
    return value


def through_metadata(metadata: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns an artifact's metadata as the task behind it gets them, after their stay in ML Metadata.

    Raises:
        StageError: a value is null, which the launcher refuses.
    """
    found: dict[str, Any] = {}
    for key, value in metadata.items():
        if value is None:
            raise StageError(f"{where} has null for {key!r}, which the launcher refuses. Leave the key out.")
        if isinstance(value, bool):
            found[key] = int(value)
        elif isinstance(value, list):
            found[key] = {"list": value}
        else:
            found[key] = {"struct": value} if isinstance(value, dict) else number(value)
    return found
