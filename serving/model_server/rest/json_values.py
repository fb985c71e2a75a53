"""Values of JSON lists as arrays: all at once where the list is well formed, else one by one for the error's words.

Beyond what TensorFlow Serving reads there are halves, bfloat16 and uint16.
"""

from __future__ import annotations

import binascii
import itertools
import string
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from serving.model_server.errors import Code, ServingError
from serving.model_server.input_checks import BFLOAT16, STRING, numpy_type, type_name
from serving.model_server.rest.json_words import quoted, type_word

BASE64_KEY = "b64"
MAX_RANK = 64  # NumPy's
_BOOL = 10
_FLOATS = {1, 2, BFLOAT16, 19}
_INT32 = (-(2**31), 2**31 - 1)
# Smallest and largest number that is read. TensorFlow Serving reads the small types as int32 and cuts bits off.
_RANGES = {
    3: _INT32,
    4: _INT32,
    5: _INT32,
    6: _INT32,
    9: (-(2**63), 2**63 - 1),
    17: (0, 2**16 - 1),
    22: (0, 2**32 - 1),
    23: (0, 2**64 - 1),
}
_JSON_TYPES: dict[int, set[type]] = {
    **{number: {int, float} for number in _FLOATS},
    **{number: {int} for number in _RANGES},
    STRING: {str},
    _BOOL: {bool},
}
_TOO_BIG = "JSON Parse error: Number too big to be stored in double."


class _Base64(msgspec.Struct, forbid_unknown_fields=True):
    b64: bytes


def is_base64(value: Any) -> bool:
    """Returns whether a value is an object with nothing but a text under `b64`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(BASE64_KEY), str)


def invalid(message: str) -> ServingError:
    """Returns the error of a value that is not what the signature asks for."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def quick_array(values: list[Any], dtype: int) -> np.ndarray | None:
    """Converts a list whose values are all what they should be.

    Args:
        values: nested lists; not changed.
        dtype: number of the DataType.

    Returns:
        An array `[len(values), …]`; None where something is amiss.
    """
    if dtype == STRING and values and isinstance(values[0], dict):
        try:
            return _objects([one.b64 for one in msgspec.convert(values, list[_Base64])])
        except (msgspec.ValidationError, UnicodeEncodeError):  # the latter from half a surrogate pair
            return None
    shape = [len(values)]
    while values and type(values[0]) is list:
        size = len(values[0])
        if set(map(type, values)) != {list} or set(map(len, values)) != {size}:
            return None
        shape.append(size)
        values = list(itertools.chain.from_iterable(values))
    if len(shape) > MAX_RANK:
        return None
    leaves = _quick_leaves(values, dtype)
    return None if leaves is None else leaves.reshape(shape)


def _quick_leaves(values: list[Any], dtype: int) -> np.ndarray | None:
    types = set(map(type, values))
    if dtype not in _JSON_TYPES or not types <= _JSON_TYPES[dtype]:
        return None
    try:
        if dtype == STRING:
            return _objects([value.encode() for value in values])
        if dtype == _BOOL:
            return np.array(values, bool)
        if dtype in _FLOATS:
            return _floats(values, dtype)
    except (OverflowError, UnicodeEncodeError):
        return None
    low, high = _RANGES[dtype]
    is_outside = values and (min(values) < low or max(values) > high)
    return None if is_outside else _integers(values, dtype)


def _floats(values: list[Any], dtype: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(numpy_type(dtype))


def _integers(values: list[int], dtype: int) -> np.ndarray:
    wide = np.uint64 if _RANGES[dtype][0] == 0 else np.int64
    return np.array(values, wide).astype(numpy_type(dtype))


def _objects(values: list[bytes]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def dense_shape(value: Any) -> tuple[int, ...]:
    """Returns the shape a value has if it is as its first elements are; `()` for one that is no list.

    Raises:
        ServingError: it has more dimensions than an array can.
    """
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MAX_RANK:
            raise invalid(f"a tensor can have {MAX_RANK} dimensions, got a list nested more deeply")
        if not value:
            break
        value = value[0]
    return tuple(shape)


def collect(value: Any, shape: tuple[int, ...], dtype: int, leaves: list[Any], level: int = 0) -> None:
    """Goes through a value, adding what it holds to `leaves`.

    Args:
        value: nested lists.
        shape: what it must have.
        dtype: number of the DataType.
        leaves: gets numbers, booleans or bytes.
        level: how deep `value` lies.

    Raises:
        ServingError: the first thing that is amiss, in TensorFlow Serving's words.
    """
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {quoted(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        collect(item, shape, dtype, leaves, level + 1)


def as_array(leaves: Sequence[Any], shape: tuple[int, ...], dtype: int) -> np.ndarray:
    """Makes an array of what `collect` found."""
    values = list(leaves)
    if dtype == STRING:
        array = _objects(values)
    elif dtype in _FLOATS:
        array = _floats(values, dtype)
    elif dtype in _RANGES:
        array = _integers(values, dtype)
    else:  # booleans, or no value at all of a type JSON cannot hold
        array = np.array(values, numpy_type(dtype))
    return array.reshape(shape)


def _leaf(value: Any, dtype: int) -> Any:
    if isinstance(value, dict):
        if dtype != STRING:
            raise _type_error(value, dtype)
        if not is_base64(value):
            raise invalid(f"JSON Value: {quoted(value)} not formatted correctly for base64 data")
        return decode_base64(value[BASE64_KEY])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype in _FLOATS:
        fits = is_number
    elif dtype in _RANGES:
        low, high = _RANGES[dtype]
        fits = is_number and isinstance(value, int) and low <= value <= high
    elif dtype in {STRING, _BOOL}:
        fits = isinstance(value, str if dtype == STRING else bool)
    else:
        raise ServingError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {quoted(value)} to type: {type_name(dtype)}")
    if not fits:
        raise _type_error(value, dtype)
    return _converted(value)


def _converted(value: Any) -> Any:
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, int):
            float(value)
        return value
    except UnicodeEncodeError as error:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from error
    except OverflowError as error:
        raise invalid(_TOO_BIG) from error


def decode_base64(text: str) -> bytes:
    """Decodes base64 as TensorFlow Serving does: white space is skipped, and padding may be missing.

    Raises:
        ServingError: it is no base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        digits = text.translate({ord(space): None for space in string.whitespace}).rstrip("=.")
        try:
            return binascii.a2b_base64(digits + "=" * (-len(digits) % 4), strict_mode=True)
        except ValueError as error:
            raise invalid("Unable to base64 decode") from error


def _type_error(value: Any, dtype: int) -> ServingError:
    return invalid(f"JSON Value: {quoted(value)} Type: {type_word(value)} is not of expected type: {type_name(dtype)}")
