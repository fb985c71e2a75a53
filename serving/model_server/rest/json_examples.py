"""tf.Examples of classify and regress requests in JSON; the words of errors are TensorFlow Serving's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.model_server.example_methods import Examples
from serving.model_server.rest.json_values import BASE64_KEY, decode_base64, invalid, is_base64
from serving.model_server.rest.json_words import quoted, type_word

_EXAMPLES, _CONTEXT = "examples", "context"
_INT64_MAX = 2**63 - 1
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(body: Mapping[str, Any]) -> Examples:
    """Reads the examples of a request.

    Args:
        body: with `examples`, a list of objects from feature to value or list of values, and `context`, one more
            object, where all examples share something.

    Raises:
        ServingError: the key is missing, or a value is none a feature can have.
    """
    context = _example(body[_CONTEXT]) if _CONTEXT in body else b""
    if _EXAMPLES not in body:
        raise invalid(
            f"JSON Value: {quoted(body)} When method is classify, key '{_EXAMPLES}' is expected and was not found"
        )
    rows = body[_EXAMPLES]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {quoted(body)} Expecting '{_EXAMPLES}' value to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {quoted(body)} '{_EXAMPLES}' value is an empty array")
    return Examples([_example(row) for row in rows], context)


def _example(value: Any) -> bytes:
    from tensorflow.core.example import example_pb2

    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_word(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[_text(name)]
        for item in content if isinstance(content, list) else [content]:
            _add(item, name, feature)
    return example.SerializeToString(deterministic=True)


def _add(value: Any, name: str, feature: Any) -> None:
    if isinstance(value, bool):
        _values(feature, name, "int64_list").append(int(value))
    elif isinstance(value, float):
        _append_float(_values(feature, name, "float_list"), value)
    elif isinstance(value, int):
        _append_int(feature, name, value)
    elif isinstance(value, str):
        _values(feature, name, "bytes_list").append(_text(value).encode())
    elif is_base64(value):
        _values(feature, name, "bytes_list").append(decode_base64(value[BASE64_KEY]))
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_word(value)}")


def _append_int(feature: Any, name: str, value: int) -> None:
    if -_INT64_MAX - 1 <= value <= _INT64_MAX:
        _values(feature, name, "int64_list").append(value)
        return
    if 0 < value < 2**64:
        _values(feature, name, "int64_list")
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    try:
        _append_float(_values(feature, name, "float_list"), float(value))
    except OverflowError as error:
        raise invalid("JSON Parse error: Number too big to be stored in double.") from error


def _append_float(values: Any, value: float) -> None:
    try:
        values.append(value)
    except (OverflowError, ValueError):  # beyond float32
        values.append(float("inf") if value > 0 else float("-inf"))


def _values(feature: Any, name: str, kind: str) -> Any:
    """Returns the list of a feature that takes values of one kind, which all its values must have."""
    has = feature.WhichOneof("kind")
    if has not in {None, kind}:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[has]}")
    return getattr(feature, kind).value


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from error
    return value
