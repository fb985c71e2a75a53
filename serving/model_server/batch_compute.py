"""Computes one batch: inputs put together, the model called once, the outputs handed to each request."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from serving.model_server.batch_task import Answer, Task
from serving.model_server.errors import Code, ServingError

if TYPE_CHECKING:
    from serving.model_server.batch_queues import BatchingParameters
    from serving.model_server.servable import Tensors

_NOT_ROWS = (
    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors"
)


class NotRowWise(ServingError):
    """The outputs have not one row for each row of the inputs: such a signature cannot be batched."""

    def __init__(self) -> None:
        super().__init__(Code.FAILED_PRECONDITION, _NOT_ROWS)


def compute(batch: Sequence[Task], parameters: BatchingParameters) -> bool:
    """Answers all tasks of a batch: each has `result` or `error` afterwards.

    When the model fails on several requests together, the halves are computed on their own, down to single requests:
    who sent what the model cannot read gets the error, and neighbours their answers. So they are when the outputs turn
    out to have no rows; a request that was computed in parts is then computed as a whole.

    Args:
        batch: tasks of one key, at least one.
        parameters: for padding and the largest batch.

    Returns:
        Whether the outputs had a row for each row of the inputs; where not, the signature cannot be batched.
    """
    try:
        outputs = _run(batch, parameters)
    except Exception as error:
        is_row_wise = not isinstance(error, NotRowWise)
        if len(batch) == 1 and is_row_wise:
            batch[0].error = as_serving_error(error)
        elif len(batch) == 1:  # in parts it has no answer, as a whole it may
            compute(batch, dataclasses.replace(parameters, max_batch_size=batch[0].rows, allowed_batch_sizes=()))
        else:
            middle = len(batch) // 2
            compute(batch[:middle], parameters)
            compute(batch[middle:], parameters)
        return is_row_wise
    _hand_out(batch, outputs)
    return True


def as_serving_error(error: Exception) -> ServingError:
    """Returns the error a client is told."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, MemoryError):
        return ServingError(Code.RESOURCE_EXHAUSTED, "out of memory while computing; send fewer rows in one request")
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")


def _run(batch: Sequence[Task], parameters: BatchingParameters) -> Tensors:
    first = batch[0]
    rows = sum(task.rows for task in batch)
    if len(batch) == 1 and not (
        first.is_shared and (parameters.allowed_batch_sizes or rows > parameters.max_batch_size)
    ):
        return first.servable.run(first.signature.name, first.inputs, first.outputs)
    inputs = merge([task.inputs for task in batch])
    parts = []
    for start in range(0, rows, parameters.max_batch_size):
        if start and first.is_answered:  # late, or its client went away: others need the worker
            raise ServingError(Code.DEADLINE_EXCEEDED, "nobody waits for the answer any more")
        stop = min(rows, start + parameters.max_batch_size)
        part = fill_up({name: value[start:stop] for name, value in inputs.items()}, parameters.allowed_batch_sizes)
        outputs = first.servable.run(first.signature.name, part, first.outputs)
        sent = len(next(iter(part.values())))
        if any(not value.ndim or len(value) != sent for value in outputs.values()):
            raise NotRowWise
        parts.append({name: value[: stop - start] for name, value in outputs.items()})
    return parts[0] if len(parts) == 1 else merge(parts)


def _hand_out(batch: Sequence[Task], outputs: Tensors) -> None:
    memo: dict[str, object] = {}
    start = 0
    for task in batch:
        stop = start + task.rows
        try:
            task.result = task.shape(Answer(outputs, start, stop, len(batch) == 1, memo))
        except Exception as error:
            task.error = as_serving_error(error)
        start = stop


def merge(parts: Sequence[Tensors]) -> Tensors:
    """Puts rows together.

    Args:
        parts: arrays `[rows, …]` of the same names and dtypes; where lengths differ, shorter ones are padded with zeros
            or empty strings at their end.

    Returns:
        Arrays `[all rows, …]`.
    """
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate(_padded([part[name] for part in parts])) for name in parts[0]}


def _padded(arrays: list[np.ndarray]) -> list[np.ndarray]:
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) == 1:
        return arrays
    longest = tuple(map(max, zip(*shapes, strict=True)))
    filling = b"" if arrays[0].dtype.kind == "O" else 0
    padded = []
    for array in arrays:
        whole = np.full((len(array), *longest), filling, dtype=array.dtype)
        whole[tuple(slice(size) for size in array.shape)] = array
        padded.append(whole)
    return padded


def run_sizes(batch: Sequence[Task], parameters: BatchingParameters) -> list[int]:
    """Returns the rows of each run of the model for a batch that succeeds at once, with those that fill it up."""
    rows = sum(task.rows for task in batch)
    if not batch[0].is_shared:
        return [rows]
    starts = range(0, rows, parameters.max_batch_size)
    return [_filled(min(rows - start, parameters.max_batch_size), parameters.allowed_batch_sizes) for start in starts]


def _filled(rows: int, allowed_sizes: Sequence[int]) -> int:
    return next((size for size in allowed_sizes if size >= rows), rows)


def fill_up(inputs: Tensors, allowed_sizes: Sequence[int]) -> Tensors:
    """Repeats the first row until the batch has the next allowed size; nothing where no size is prescribed."""
    rows = len(next(iter(inputs.values())))
    size = _filled(rows, allowed_sizes)
    if size == rows:
        return inputs
    return {name: np.concatenate([value, np.repeat(value[:1], size - rows, axis=0)]) for name, value in inputs.items()}
