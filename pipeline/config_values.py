"""Single configuration values: reading them from YAML or text, and turning them into a field's type."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
import typing
from typing import Any, TypeAlias

import msgspec
import yaml

from applications.errors import ConfigError, near_name

Located: TypeAlias = tuple[yaml.Node, str]
_WHOLE_FILE = "the file"
_TYPE_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """One value somebody gave.

    Attributes:
        key: full name, such as `train.epochs`.
        value: as read; text where it came from the command line.
        place: for people, such as `--set train.epochs=3` or `mine.yaml line 4`.
        is_text: the value is a word of the command line, to be parsed by the field's type.
    """

    key: str
    value: Any
    place: str
    is_text: bool = False


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads `1e-3` as a number, as YAML 1.2 does."""


_Loader.yaml_implicit_resolvers = {key: list(rules) for key, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: pathlib.Path, option: str = "--config") -> dict[str, Located]:
    """Reads the top mapping of a YAML file.

    Args:
        path: of the file.
        option: by which it was given, for the error.

    Returns:
        per key the unread value and its place, such as `mine.yaml line 4`. An empty file gives {}.

    Raises:
        ConfigError: the file is missing, is not YAML, has a key twice, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{option} must be a readable YAML file, got {str(path)!r}: {_reason(error)}.") from error
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path.name}{line} is not valid YAML: {what}. Mend that line.") from error
    return {} if node is None else pairs(node, _WHOLE_FILE, path.name)


def pairs(node: yaml.Node, name: str, place: str) -> dict[str, Located]:
    """Returns the keys of a mapping node, each with its value node and place; refuses anything else."""
    file = place.partition(" line ")[0]
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return {}
    if not isinstance(node, yaml.MappingNode):
        what = name if name == _WHOLE_FILE else repr(name)
        raise ConfigError(f"{what} must be a mapping of `key: value` lines, got {plain(node)!r} ({place}).")
    found: dict[str, Located] = {}
    for key_node, value_node in node.value:
        key = str(plain(key_node))
        line = f"{file} line {key_node.start_mark.line + 1}"
        if key in found:
            raise ConfigError(f"{key!r} must be given once, but {line} gives it again. Remove one of the two.")
        found[key] = (value_node, line)
    return found


def plain(node: yaml.Node) -> Any:
    """Returns the plain value of a YAML node (scalars, lists, dicts)."""
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        line = node.start_mark.line + 1
        raise ConfigError(
            f"line {line} has a value YAML cannot read: {getattr(error, 'problem', error)}. Put text in quotes."
        ) from error
    finally:
        loader.dispose()


def field_types(kind: type[Any]) -> dict[str, Any]:
    """Returns the resolved type of each field of a dataclass."""
    return typing.get_type_hints(kind)


def convert(given: Given, kind: Any, default: object) -> Any:
    """Turns a given value into a field's type.

    Args:
        given: the value and where it came from.
        kind: the field's type: int, float, bool, str, a Literal of strings, or a tuple of strings.
        default: a valid value, shown in the error.

    Raises:
        ConfigError: names the key, the value, the type that is expected, and the place.
    """
    value = _listed(given.value) if given.is_text and typing.get_origin(kind) is tuple else given.value
    try:
        converted = msgspec.convert(value, kind, strict=not given.is_text)
    except msgspec.ValidationError as error:
        raise _refusal(given, kind, default) from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise _refusal(given, kind, default)
    return converted


def type_words(kind: Any) -> str:
    """Returns a type in words, such as "a whole number" or "one of 'stop', 'warn'"."""
    if typing.get_origin(kind) is typing.Literal:
        return f"one of {', '.join(repr(choice) for choice in typing.get_args(kind))}"
    if typing.get_origin(kind) is tuple:
        return "a list of words"
    return _TYPE_WORDS.get(kind, str(kind))


def text_of(value: object) -> str:
    """Returns a value as one would type it after `--set key=`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(str(item) for item in value) or "[]"
    return str(value) if value != "" else '""'


def _listed(text: str) -> Any:
    """Reads `a,b` or `[a, b]` as a list of words; "" and `[]` are the empty list."""
    if text.strip().startswith("["):
        try:
            return yaml.load(text, Loader=_Loader)
        except yaml.YAMLError:
            return text
    return [word.strip() for word in text.split(",") if word.strip()]


def _refusal(given: Given, kind: Any, default: object) -> ConfigError:
    """Returns the error for a value of the wrong type."""
    hint = ""
    if typing.get_origin(kind) is typing.Literal:
        hint = near_name(str(given.value), [str(choice) for choice in typing.get_args(kind)])
    return ConfigError(
        f"{given.key} must be {type_words(kind)}, got {given.value!r} ({given.place}).{hint} "
        f"Without it the value is {text_of(default)}."
    )


def _reason(error: Exception) -> str:
    """Returns why a file could not be read, in a few words."""
    return (getattr(error, "strerror", None) or "it is not UTF-8 text").lower()
