"""A predict request in JSON: its signature, and its tensors as rows (`instances`) or columns (`inputs`).

The words of errors are TensorFlow Serving's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.model_server.errors import ServingError
from serving.model_server.rest.json_text import parse
from serving.model_server.rest.json_values import (
    as_array,
    collect,
    dense_shape,
    invalid,
    is_base64,
    quick_array,
)
from serving.model_server.rest.json_words import quoted

if TYPE_CHECKING:
    from serving.model_server.servable import TensorInfo, Tensors

_SIGNATURE, _INSTANCES, _INPUTS = "signature_name", "instances", "inputs"


@dataclasses.dataclass(slots=True)
class _Column:
    """One input as its rows are read: all must have the shape of the first."""

    shape: tuple[int, ...]
    size: int
    leaves: list[Any]


def parse_body(body: bytes) -> dict[str, Any]:
    """Reads the body of a predict, classify or regress request.

    Raises:
        ServingError: INVALID_ARGUMENT; no JSON, or no object.
    """
    value = parse(body)
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {quoted(value)} Is not object")
    return value


def signature_name(body: Mapping[str, Any]) -> str:
    """Returns the name a body asks for, "" for none.

    Raises:
        ServingError: it is no text.
    """
    name = body.get(_SIGNATURE, "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {quoted(body)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def read_tensors(body: Mapping[str, Any], infos: Mapping[str, TensorInfo]) -> tuple[Tensors, bool]:
    """Reads the tensors of a predict request.

    Args:
        body: with `instances` or `inputs`.
        infos: inputs of the signature, at least one.

    Returns:
        Arrays by name, and whether the request is in rows.

    Raises:
        ServingError: neither or both keys, or values that are not what the signature asks for.
    """
    if _INSTANCES in body:
        if _INPUTS in body:
            raise invalid(
                f"JSON Value: {quoted(body)} Not formatted correctly expecting only one of '{_INPUTS}' or "
                f"'{_INSTANCES}' keys to exist "
            )
        instances = body[_INSTANCES]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {quoted(body)} Expecting '{_INSTANCES}' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {quoted(body)} No values in '{_INSTANCES}' array")
        return _read_rows(instances, infos), True
    if _INPUTS in body:
        return _read_columns(body[_INPUTS], infos), False
    raise invalid(f"Missing '{_INPUTS}' or '{_INSTANCES}' key")


def _read_rows(instances: list[Any], infos: Mapping[str, TensorInfo]) -> Tensors:
    first = instances[0]
    if not isinstance(first, dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    is_named = _is_named(first)
    if not is_named:
        columns = {min(infos): instances}
    elif all(isinstance(row, dict) and row.keys() == infos.keys() for row in instances):
        columns = {name: [row[name] for row in instances] for name in infos}
    else:
        columns = {}
    tensors: Tensors = {}
    for name, values in columns.items():
        array = quick_array(values, infos[name].dtype)
        if array is None:
            break
        tensors[name] = array
    if tensors and len(tensors) == len(columns):
        return tensors
    return _read_rows_slowly(instances, infos, is_named=is_named)


def _read_rows_slowly(instances: list[Any], infos: Mapping[str, TensorInfo], *, is_named: bool) -> Tensors:
    columns: dict[str, _Column] = {}
    for number, row in enumerate(instances):
        if is_named:
            _add_named_row(number, row, infos, columns)
            continue
        if _is_named(row):
            raise invalid(f"Expecting value/list but got object at item {number} of input list")
        try:
            _add_item(row, min(infos), infos, columns)
        except ServingError as error:
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. Error: {error.code.name}: {error}"
            ) from error
    return {
        name: as_array(column.leaves, (len(instances), *column.shape), infos[name].dtype)
        for name, column in columns.items()
    }


def _add_named_row(number: int, row: Any, infos: Mapping[str, TensorInfo], columns: dict[str, _Column]) -> None:
    if not _is_named(row):
        raise invalid(f"Expecting object but got list at item {number} of input list")
    for name, value in row.items():
        try:
            _add_item(value, name, infos, columns)
        except ServingError as error:
            raise invalid(
                f"Failed to process element: {number} key: {name} of 'instances' list. "
                f"Error: {error.code.name}: {error}"
            ) from error
    if row.keys() != infos.keys():
        raise invalid(
            f"Failed to process element: {number} of 'instances' list. JSON object: {quoted(row)} keys must be equal "
            f"to: {','.join(sorted(infos))}"
        )


def _add_item(value: Any, name: str, infos: Mapping[str, TensorInfo], columns: dict[str, _Column]) -> None:
    if name not in infos:
        raise invalid(f"JSON object: does not have named input: {name}")
    shape = dense_shape(value)
    leaves: list[Any] = []
    collect(value, shape, infos[name].dtype, leaves)
    column = columns.setdefault(name, _Column(shape, len(leaves), []))
    if column.size != len(leaves):
        raise invalid(f"Expecting tensor size: {column.size} but got: {len(leaves)}")
    if column.shape != shape:
        raise invalid(f"Expecting shape {_shape(column.shape)} but got: {_shape(shape)}")
    column.leaves += leaves


def _read_columns(inputs: Any, infos: Mapping[str, TensorInfo]) -> Tensors:
    if not _is_named(inputs):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        ((name, info),) = infos.items()
        return {name: _read_array(inputs, info.dtype)}
    tensors = {}
    for name, info in sorted(infos.items()):
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        tensors[name] = _read_array(inputs[name], info.dtype)
    return tensors


def _read_array(value: Any, dtype: int) -> np.ndarray:
    if isinstance(value, list):
        array = quick_array(value, dtype)
        if array is not None:
            return array
    shape = dense_shape(value)
    leaves: list[Any] = []
    collect(value, shape, dtype, leaves)
    return as_array(leaves, shape, dtype)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
