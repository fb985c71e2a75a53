"""Whether a request's tensors are what the signature asks for; the texts are TensorFlow Serving's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import numpy as np

from serving.model_server.errors import Code, ServingError

if TYPE_CHECKING:
    from serving.model_server.servable import Servable, Signature, TensorInfo, Tensors

# Number and name of each tensorflow.DataType that a tensor of a request can have, with NumPy's type of it.
STRING = 7
BFLOAT16 = 14
_TYPES: dict[int, tuple[str, str]] = {
    1: ("float", "f4"),
    2: ("double", "f8"),
    3: ("int32", "i4"),
    4: ("uint8", "u1"),
    5: ("int16", "i2"),
    6: ("int8", "i1"),
    STRING: ("string", "O"),
    8: ("complex64", "c8"),
    9: ("int64", "i8"),
    10: ("bool", "?"),
    17: ("uint16", "u2"),
    18: ("complex128", "c16"),
    19: ("half", "f2"),
    22: ("uint32", "u4"),
    23: ("uint64", "u8"),
}
_NUMPY = {number: np.dtype(code) for number, (_, code) in _TYPES.items()}
_NAMES = {dtype: name for (name, _), dtype in zip(_TYPES.values(), _NUMPY.values(), strict=True)}


def type_name(number: int) -> str:
    """Returns the name TensorFlow prints for a DataType's number, such as `float` for 1."""
    return "bfloat16" if number == BFLOAT16 else _TYPES.get(number, (f"type {number}", ""))[0]


def numpy_type(number: int) -> np.dtype | None:
    """Returns NumPy's type for a DataType's number; None where it has none."""
    if number == BFLOAT16:
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return _NUMPY.get(number)


def check_inputs(servable: Servable, signature: Signature, inputs: Tensors) -> None:
    """Refuses inputs that are not the signature's.

    Raises:
        ServingError: INVALID_ARGUMENT; a name is missing or unknown, or a dtype or shape is another.
    """
    if inputs.keys() != signature.inputs.keys():
        _refuse_names(servable, signature, inputs)
    for name, info in signature.inputs.items():
        array = inputs[name]
        wanted = _NUMPY.get(info.dtype)
        if array.dtype != wanted and array.dtype != numpy_type(info.dtype):
            index = sorted(signature.inputs).index(name)
            raise _invalid(
                f"Expects arg[{index}] to be {type_name(info.dtype)} but {_name_of(array.dtype)} is provided"
            )
        if info.shape is not None and not _fits(array.shape, info.shape):
            raise _invalid(f'input "{name}" must have the shape {_shape(info)}, got {list(array.shape)}')


def check_outputs(signature: Signature, wanted: Collection[str] | None) -> None:
    """Refuses an output filter with unknown or repeated names; none or an empty one asks for all outputs."""
    seen: set[str] = set()
    for name in wanted or ():
        if name not in signature.outputs:
            raise _invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{_names(signature.outputs)}."
            )
        if name in seen:
            raise _invalid(f"duplicate output tensor alias: {name}")
        seen.add(name)


def _refuse_names(servable: Servable, signature: Signature, inputs: Tensors) -> None:
    sent, known = inputs.keys(), signature.inputs.keys()
    if len(sent) != len(known):
        raise _invalid(
            f"input size does not match signature: {len(sent)}!={len(known)} "
            f"len({_names(sent)}) != len({_names(known)}). "
            f"Sent extra: {_names(sent - known)}. Missing but required: {_names(known - sent)}."
        )
    missing = min(known - sent)
    feed = servable.signature_def_map().signature_def[signature.name].inputs[missing].name
    raise _invalid(
        f"Signature input alias: {missing}(feed name: {feed}) not found in request and no default value provided. "
        f"Inputs expected to be in the request {_names(sent)}, or default input alias set: "
    )


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    if len(shape) != len(wanted):
        return False
    for size, got in zip(wanted, shape, strict=True):  # `all` of a generator costs three times as much
        if size is not None and size != got:
            return False
    return True


def _shape(info: TensorInfo) -> str:
    return f"[{','.join('?' if size is None else str(size) for size in info.shape or ())}]"


def _names(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"


def _name_of(dtype: np.dtype) -> str:
    return _NAMES.get(dtype, str(dtype))


def _invalid(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)
