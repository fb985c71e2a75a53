"""Answers in JSON, with the numbers TensorFlow Serving writes: few digits where they suffice, NaN, Infinity.

A batch that answers several requests is written once, in the worker that computed it; each request takes its rows.
Numbers are the same to who reads them, but for their notation: 1000000.0 stands where TensorFlow Serving has 1e+06.
Text that is not UTF-8, which no JSON can hold, is written with replacement characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from serving.model_server.errors import Code, ServingError
from serving.model_server.rest.json_values import BASE64_KEY

if TYPE_CHECKING:
    from serving.model_server.batch_task import Answer
    from serving.model_server.example_methods import Classification, Regression
    from serving.model_server.servable import Tensors

_ENCODER = msgspec.json.Encoder()
_NAN, _INFINITY, _MINUS_INFINITY = msgspec.Raw(b"NaN"), msgspec.Raw(b"Infinity"), msgspec.Raw(b"-Infinity")
_SHORT, _FULL = 6, 9  # digits that are tried first, and that tell any two float32 apart
_FEW = 64  # numbers that Python rounds faster than NumPy
_EXACT_POWER = 22  # largest power of ten that a double holds exactly
_BYTES_SUFFIX = "_bytes"


def row_answer(answer: Answer) -> bytes:
    """Writes `{"predictions": […]}`, one item for each row.

    Raises:
        ServingError: INVALID_ARGUMENT; outputs without rows or with different numbers of them.
    """
    rows = answer.memo.get("rows")
    if rows is None:
        rows = answer.memo["rows"] = _rows(answer.tensors)
    return b'{"predictions": [' + b", ".join(rows[answer.start : answer.stop] if not answer.is_whole else rows) + b"]}"


def column_answer(answer: Answer) -> bytes:
    """Writes `{"outputs": …}`: the tensor, or an object of them where there are several."""
    tensors = answer.own()
    values = {name: _items(name, tensors[name]) for name in sorted(tensors)}
    whole: Any = values if len(values) > 1 else next(iter(values.values()))
    return b'{"outputs": ' + _encoded(whole) + b"}"


def classification_answer(results: Classification) -> bytes:
    """Writes `{"results": …}`: for each example a list of label and score."""
    scores = plain(np.array([score for row in results for _, score in row], np.float32))
    left = iter(scores)
    rows = [[(label.decode(errors="replace"), next(left)) for label, _ in row] for row in results]
    return b'{"results": ' + _encoded(rows) + b"}"


def regression_answer(results: Regression) -> bytes:
    """Writes `{"results": …}`: one number for each example."""
    return b'{"results": ' + _encoded(plain(np.array(results, np.float32))) + b"}"


def error_answer(message: str) -> bytes:
    """Writes `{"error": …}` as TensorFlow Serving lays it out."""
    text = message.encode(errors="replace").decode()
    return b'{\n    "error": ' + _ENCODER.encode(text) + b"\n}"


def _rows(tensors: Tensors) -> list[bytes]:
    names = sorted(tensors)
    counts: set[int] = set()
    for name in names:
        value = tensors[name]
        if not value.ndim:
            raise ServingError(Code.INVALID_ARGUMENT, f"Tensor name: {name} has no shape information ")
        if counts and len(value) not in counts:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"Tensor name: {name} has inconsistent batch size: {len(value)} expecting: {counts.pop()}",
            )
        counts.add(len(value))
    columns = [_items(name, tensors[name]) for name in names]
    if len(names) == 1:
        return [_encoded(item) for item in columns[0]]
    return [_encoded(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _items(name: str, value: np.ndarray) -> Any:
    if value.dtype.kind == "O":
        as_bytes = name.endswith(_BYTES_SUFFIX)
        return _texts(value.tolist(), as_bytes=as_bytes)
    return plain(value)


def _texts(value: Any, *, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_texts(item, as_bytes=as_bytes) for item in value]
    if as_bytes:
        return {BASE64_KEY: value}
    return str(value, "utf-8", "replace") if isinstance(value, bytes) else str(value)


def plain(value: np.ndarray) -> Any:
    """Returns numbers as nested lists that msgspec writes as TensorFlow Serving does."""
    if value.dtype.kind in "iub":
        return value.tolist()
    if value.dtype.kind == "c":
        raise ServingError(Code.INVALID_ARGUMENT, f"Failed to write JSON value for tensor type: {value.dtype}")
    decimals = value if value.dtype == np.float64 else shortened(value.astype(np.float32, copy=False))
    is_finite = np.isfinite(decimals)
    if is_finite.all():
        return decimals.tolist()
    numbers = decimals.ravel()
    written = numbers.astype(object)
    for place in np.flatnonzero(~is_finite):  # one by one: NumPy takes a Raw for a sequence of bytes
        number = numbers[place]
        written[place] = _NAN if np.isnan(number) else _INFINITY if number > 0 else _MINUS_INFINITY
    return written.reshape(value.shape).tolist()


def shortened(value: np.ndarray) -> np.ndarray:
    """Rounds to six significant digits where that is the same float32, and to nine where it is not.

    Args:
        value: float32 of any shape.

    Returns:
        float64 of the same shape, whose shortest decimal notation has those digits.
    """
    wide = value.astype(np.float64)
    if value.size <= _FEW:
        return _shortened_few(value, wide)
    size = np.abs(wide)
    with np.errstate(all="ignore"):
        power = np.floor(np.log10(size))
        # Beyond, powers of ten are not exact; zero and what is not finite have none.
        is_far = ~((power >= _FULL - 1 - _EXACT_POWER) & (power <= _SHORT - 1 + _EXACT_POWER))
        power[is_far] = 0
        short = _rounded(wide, power, _SHORT)
        full = _rounded(wide, power, _FULL)
        result = np.where(short.astype(np.float32) == value, short, full)
    places = is_far & (size > 0) & np.isfinite(wide)
    if places.any():
        result[places] = _shortened_few(value[places], wide[places])
    return np.where(np.isfinite(wide), result, wide)


def _shortened_few(value: np.ndarray, wide: np.ndarray) -> np.ndarray:
    numbers = wide.ravel().tolist()
    short = np.array([float(f"{number:.{_SHORT}g}") for number in numbers], np.float64)
    with np.errstate(over="ignore"):
        is_other = short.astype(np.float32) != value.ravel()
    short[is_other] = [float(f"{numbers[place]:.{_FULL}g}") for place in np.flatnonzero(is_other)]
    return short.reshape(value.shape)


def _rounded(value: np.ndarray, power: np.ndarray, digits: int) -> np.ndarray:
    places = digits - 1 - power
    scale = 10.0 ** np.abs(places)
    return np.where(places >= 0, np.rint(value * scale) / scale, np.rint(value / scale) * scale)


def _encoded(value: Any) -> bytes:
    try:
        return _ENCODER.encode(value)
    except RecursionError as error:  # not from a tensor: they have at most 64 dimensions
        raise ServingError(Code.INTERNAL, "an answer is nested too deeply") from error
