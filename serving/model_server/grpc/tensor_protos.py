"""`tensorflow.TensorProto` to NumPy and back, without TensorFlow: for the server and for clients.

Reading follows TensorFlow: values stand in `tensor_content` or in the field of their type, and a field with fewer
values than the shape says is filled up with its last one. Unlike TensorFlow, all tensors of a request together may be
filled up by `MAX_REPEATED_BYTES` only: a message of thirty bytes must not cost the server what thirty megabytes do.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

MAX_REPEATED_BYTES = 4 << 20  # an image of 512 by 512 by 3 float32, all of one value, needs 3 MiB
MAX_RANK = 32  # TensorFlow allows 254 dimensions, NumPy 64; no model here has more than a handful
STRING = 7  # DT_STRING
_BFLOAT16 = 14  # DT_BFLOAT16: not among NumPy's own types
_FIXED_WIDTH = {"float_val": b"\x2a", "double_val": b"\x32", "scomplex_val": b"\x4a", "dcomplex_val": b"\x62"}
_MAX_ELEMENTS = 2**40
_CONTINUES = 0x80  # a varint's bit that says another byte follows
_VARINT_BYTES = 10


class TensorProtoError(ValueError):
    """The message is not a tensor; the text says why."""


class Repeats:
    """What the tensors of one request may still take in memory beyond the values that it holds."""

    def __init__(self, left: int = MAX_REPEATED_BYTES) -> None:
        """Takes the bytes."""
        self._left = left

    def take(self, shape: tuple[int, ...], given: int, value_bytes: int) -> None:
        """Counts the values that a message leaves out.

        Args:
            shape: of the tensor.
            given: values that the message holds.
            value_bytes: what each of the others takes: a string its length, too, as a model copies it.

        Raises:
            TensorProtoError: they are too many.
        """
        count = math.prod(shape)
        size = (count - given) * value_bytes
        if size > self._left:
            raise TensorProtoError(
                f"the shape {_short(shape)} says {count} values, but the message holds {given}, and to repeat the last "
                f"one takes {size} bytes where {self._left} of {MAX_REPEATED_BYTES} in a request are left. Send every "
                "value, as tf.make_tensor_proto does with a whole array."
            )
        self._left -= size


@dataclasses.dataclass(frozen=True)
class _Kind:
    """How one `tensorflow.DataType` is written.

    Attributes:
        dtype: NumPy's.
        field: the typed field of TensorProto.
        stored: NumPy's dtype of the field's numbers.
        reinterpret: the field holds the bits of the value (halves) and not the value.
    """

    dtype: np.dtype[Any]
    field: str
    stored: np.dtype[Any]
    reinterpret: bool = False


def _kind(dtype: Any, field: str, stored: Any, *, reinterpret: bool = False) -> _Kind:
    return _Kind(np.dtype(dtype), field, np.dtype(stored), reinterpret)


_KINDS = {
    1: _kind("f4", "float_val", "f4"),
    2: _kind("f8", "double_val", "f8"),
    3: _kind("i4", "int_val", "i4"),
    4: _kind("u1", "int_val", "i4"),
    5: _kind("i2", "int_val", "i4"),
    6: _kind("i1", "int_val", "i4"),
    7: _kind("O", "string_val", "O"),
    8: _kind("c8", "scomplex_val", "f4"),
    9: _kind("i8", "int64_val", "i8"),
    10: _kind("?", "bool_val", "?"),
    17: _kind("u2", "int_val", "i4"),
    18: _kind("c16", "dcomplex_val", "f8"),
    19: _kind("f2", "half_val", "u2", reinterpret=True),
    22: _kind("u4", "uint32_val", "u4"),
    23: _kind("u8", "uint64_val", "u8"),
}
_NUMBERS = {kind.dtype: number for number, kind in _KINDS.items()}
NAMES = {
    1: "DT_FLOAT", 2: "DT_DOUBLE", 3: "DT_INT32", 4: "DT_UINT8", 5: "DT_INT16", 6: "DT_INT8", 7: "DT_STRING",
    8: "DT_COMPLEX64", 9: "DT_INT64", 10: "DT_BOOL", 14: "DT_BFLOAT16", 17: "DT_UINT16", 18: "DT_COMPLEX128",
    19: "DT_HALF", 22: "DT_UINT32", 23: "DT_UINT64",
}  # fmt: skip


def to_array(proto: Any, repeats: Repeats | None = None) -> np.ndarray:
    """Reads a TensorProto.

    Args:
        proto: any message with TensorProto's fields; not changed.
        repeats: of the request that it is part of; None where it is all of it.

    Returns:
        The values, of the message's shape; strings as an object array of `bytes`. May be read-only, and may share the
        memory of the message.

    Raises:
        TensorProtoError: the shape is unknown or impossible, the dtype is none that can be sent, or the values do not
            fit the shape, or leave too many to be repeated.
    """
    if (single := _single_text(proto)) is not None:
        return single
    kind = _kind_of(proto.dtype)
    shape = _shape_of(proto.tensor_shape)
    count = math.prod(shape)
    if count == 0:
        return np.empty(shape, kind.dtype)
    content = proto.tensor_content
    if content:
        values = _strings_of(content, count) if kind.field == "string_val" else _content(content, count, kind.dtype)
        return values.reshape(shape)
    return _field(getattr(proto, kind.field), shape, kind, repeats or Repeats())


def fill(proto: Any, array: np.ndarray, *, as_content: bool = False) -> None:
    """Writes an array into an empty TensorProto.

    Args:
        proto: an empty message with TensorProto's fields.
        array: of a dtype that TensorFlow knows; strings as objects or NumPy's own string types.
        as_content: into `tensor_content`, which is shorter to write and read, instead of the typed field.

    Raises:
        TensorProtoError: the dtype has no counterpart, or an object is neither bytes nor text.
    """
    number, array = _number_of(array)
    kind = _kind_of(number)
    proto.dtype = number
    add = proto.tensor_shape.dim.add
    for size in array.shape:
        add().size = size
    if kind.field == "string_val":
        _fill_strings(proto, array, as_content=as_content)
    elif as_content:
        proto.tensor_content = array.tobytes()
    elif (tag := _FIXED_WIDTH.get(kind.field)) is not None:
        content = array.tobytes()  # a packed field of fixed width is the array's own bytes: no number passes Python
        proto.MergeFromString(tag + _varint(len(content)) + content if content else b"")
    else:
        flat = array.reshape(-1)
        getattr(proto, kind.field).extend((flat.view(kind.stored) if kind.reinterpret else flat).tolist())


def number_of(dtype: Any) -> int:
    """Returns the `tensorflow.DataType` of a NumPy dtype.

    Raises:
        TensorProtoError: it has none.
    """
    found = np.dtype(dtype)
    if found.kind in "OSU":
        return STRING
    if found.name == "bfloat16":
        return _BFLOAT16
    number = _NUMBERS.get(found.newbyteorder("="))
    if number is None:
        raise TensorProtoError(
            f"a tensor cannot be of NumPy's dtype {found}; TensorFlow has {', '.join(NAMES.values())}."
        )
    return number


def _kind_of(number: int) -> _Kind:
    kind = _KINDS.get(number)
    if kind is not None:
        return kind
    if number == _BFLOAT16:
        import ml_dtypes  # only where such a tensor comes by: its import takes a tenth of a second

        return _kind(ml_dtypes.bfloat16, "half_val", "u2", reinterpret=True)
    raise TensorProtoError(f"dtype must be one of {', '.join(NAMES.values())}, got number {number}")


def _number_of(array: np.ndarray) -> tuple[int, np.ndarray]:
    """Returns the number and the array as it is written: contiguous, little-endian."""
    number = _NUMBERS.get(array.dtype)
    if number is not None and array.flags.c_contiguous:
        return number, array
    number = number_of(array.dtype)
    if number != STRING and not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return number, np.ascontiguousarray(array).reshape(array.shape)  # the former makes 1-D of a scalar


def _single_text(proto: Any) -> np.ndarray | None:
    """Reads one string in one row, as requests with one picture have it; None for all else, which takes longer."""
    texts, dims = proto.string_val, proto.tensor_shape.dim
    if proto.dtype != STRING or len(texts) != 1 or len(dims) != 1 or dims[0].size != 1 or proto.tensor_content:
        return None
    array = np.empty(1, object)
    array[0] = texts[0]
    return array


def _shape_of(proto: Any) -> tuple[int, ...]:
    if proto.unknown_rank:
        raise TensorProtoError("the shape must be known, got unknown_rank")
    shape = tuple(dim.size for dim in proto.dim)
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise TensorProtoError(f"the shape must have at most {MAX_RANK} sizes of 0 or more, got {_short(shape)}")
    count = 1
    for size in shape:
        count *= max(size, 1)  # a tensor without values may have few rows only, too: they cost the model time
        if count > (_MAX_ELEMENTS if all(shape) else MAX_REPEATED_BYTES):
            raise TensorProtoError(f"the shape {_short(shape)} has more values than any message could hold")
    return shape


def _content(content: bytes, count: int, dtype: np.dtype[Any]) -> np.ndarray:
    if len(content) != count * dtype.itemsize:
        raise TensorProtoError(
            f"tensor_content must have {count * dtype.itemsize} bytes for {count} values of {dtype}, got {len(content)}"
        )
    values: np.ndarray = np.frombuffer(content, dtype)
    if dtype.kind == "b" and values.view(np.uint8).max() > 1:
        return values.view(np.uint8) != 0  # a byte that is neither 0 nor 1 is no bool of NumPy's
    return values


def _field(field: Any, shape: tuple[int, ...], kind: _Kind, repeats: Repeats) -> np.ndarray:
    """Reads a typed field: too many values are cut off, missing ones are the last one (or 0, or "") again."""
    count = math.prod(shape)
    per_value = 2 if kind.dtype.kind == "c" else 1
    given, odd = divmod(len(field), per_value)
    if odd:
        raise TensorProtoError(f"{kind.field} must hold pairs, real and imaginary, got {len(field)} numbers")
    if given < count:
        is_text = kind.field == "string_val" and given > 0
        repeats.take(shape, given, kind.dtype.itemsize + (len(field[-1]) if is_text else 0))
    values = _numbers(field, kind)[:count]
    if given < count:
        last = values[-1:] if given else _nothing(kind)
        values = np.concatenate([values, np.broadcast_to(last, count - given)])
    return values.reshape(shape)


def _numbers(field: Any, kind: _Kind) -> np.ndarray:
    if kind.field == "string_val":
        values = np.empty(len(field), object)
        values[:] = list(field)
        return values
    stored = np.dtype("i8") if kind.stored == np.dtype("u2") else kind.stored  # half_val is declared int32
    numbers = np.fromiter(field, stored, len(field))
    if kind.reinterpret:
        return numbers.astype(np.uint16).view(kind.dtype)
    return numbers.view(kind.dtype) if kind.dtype.kind == "c" else numbers.astype(kind.dtype, copy=False)


def _nothing(kind: _Kind) -> np.ndarray:
    if kind.field == "string_val":
        return np.array([b""], object)
    return np.zeros(1, kind.dtype)


def _strings_of(content: bytes, count: int) -> np.ndarray:
    """Reads strings as `tensor_content` holds them: the lengths as varints, then the bytes."""
    if count > len(content):
        raise TensorProtoError(f"tensor_content of {len(content)} bytes cannot hold {count} strings")
    sizes, at = [], 0
    for _ in range(count):
        size, at = _read_varint(content, at)
        sizes.append(size)
    if sum(sizes) != len(content) - at:
        raise TensorProtoError(f"tensor_content must hold {sum(sizes)} bytes of strings, got {len(content) - at}")
    values = np.empty(count, object)
    for index, size in enumerate(sizes):
        values[index] = content[at : at + size]
        at += size
    return values


def _fill_strings(proto: Any, array: np.ndarray, *, as_content: bool) -> None:
    items = array.reshape(-1).tolist()
    values = items if all(type(item) is bytes for item in items) else [_as_bytes(item) for item in items]
    if as_content:
        proto.tensor_content = b"".join([*(_varint(len(value)) for value in values), *values])
    else:
        proto.string_val.extend(values)


def _as_bytes(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    raise TensorProtoError(f"a string tensor must hold bytes or text, got {type(item).__name__}: {str(item)[:40]}")


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_VARINT_BYTES):
        if at + place >= len(content):
            break
        byte = content[at + place]
        value |= (byte & (_CONTINUES - 1)) << (7 * place)
        if not byte & _CONTINUES:
            return value, at + place + 1
    raise TensorProtoError(f"tensor_content of {len(content)} bytes ends within the lengths of its strings")


def _varint(value: int) -> bytes:
    written = bytearray()
    while value >= _CONTINUES:
        written.append(value & (_CONTINUES - 1) | _CONTINUES)
        value >>= 7
    written.append(value)
    return bytes(written)


def _short(shape: tuple[int, ...]) -> str:
    text = ", ".join(map(str, shape[:8]))
    return f"[{text}, …]" if len(shape) > 8 else f"[{text}]"  # noqa: PLR2004 - as many as one wants to read
