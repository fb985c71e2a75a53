"""One request on its way through the batcher, and the part of a batch's answer that is its own."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from serving.model_server.servable import Servable, Signature, Tensors

Key = tuple[object, ...]
_STRING_BYTES = sys.getsizeof(b"")  # that Python adds to each string


class Stage(enum.IntEnum):
    """Where a task is; it only moves forward."""

    WAITING = 0
    RUNNING = 1
    OVER = 2


@dataclasses.dataclass(slots=True)
class Answer:
    """What a batch gave, seen by one of its requests.

    Attributes:
        tensors: outputs of the whole batch.
        start: first row of this request.
        stop: row after its last one.
        is_whole: whether the batch is this request alone, and outputs need not have rows.
        memo: shared by all requests of the batch, so that what is worked out for all rows is worked out once.
    """

    tensors: Tensors
    start: int
    stop: int
    is_whole: bool
    memo: dict[str, Any]

    def own(self) -> Tensors:
        """Returns the outputs of this request: views into the batch's."""
        if self.is_whole:
            return self.tensors
        return {name: value[self.start : self.stop] for name, value in self.tensors.items()}

    def kept(self) -> Tensors:
        """Returns the outputs of this request to be kept after the batch: they do not hold the others' in memory."""
        own = self.own()
        return own if self.is_whole else {name: value.copy() for name, value in own.items()}


def own_tensors(answer: Answer) -> Tensors:
    """Gives a request its tensors: what `Task.shape` does unless told otherwise."""
    return answer.own()


def _nothing() -> None:
    return None


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class Task:
    """One request.

    Attributes:
        servable: who answers; the caller sees to it that it lives until `release` was called.
        signature: one of the servable's.
        inputs: checked: names, dtypes and ranks are the signature's.
        answer: called once in the loop's thread with the result, or None and the error. Not called after `cancel`.
        shape: makes the result of the answer, in the worker's thread.
        release: called once in the loop's thread, when nothing computes for this task any more.
        outputs: names wanted; None for all.
        deadline_s: on the loop's clock; None for no deadline.
    """

    servable: Servable
    signature: Signature
    inputs: Tensors
    answer: Callable[[Any, Exception | None], None]
    shape: Callable[[Answer], Any] = own_tensors
    release: Callable[[], None] = _nothing
    outputs: Collection[str] | None = None
    deadline_s: float | None = None
    # What follows is the batcher's.
    rows: int = 1
    bytes: int = 0
    key: Key = ()
    is_shared: bool = False
    queued_s: float = 0.0
    started_s: float = 0.0
    stage: Stage = Stage.WAITING
    is_answered: bool = False
    result: Any = None
    error: Exception | None = None


def measure(task: Task, *, is_padded: bool, runs_alone: bool) -> None:
    """Counts a task's rows and bytes, and finds what it can share a batch with.

    Args:
        task: gets `rows`, `bytes`, `key` and `is_shared`.
        is_padded: whether rows of different lengths may share a batch.
        runs_alone: it shares with none.
    """
    inputs, signature = task.inputs, task.signature
    counts = set()
    is_empty = False
    for array in inputs.values():
        task.bytes += bytes_of(array)
        counts.add(len(array) if array.ndim else -1)
        is_empty = is_empty or not array.size
    rows = task.rows = max(1, *counts) if counts else 1
    # An empty batch, a scalar and inputs that disagree about the rows are the model's to judge, and nobody else's. So
    # are rows without values: a short message can hold millions of them, and each batch of them takes time.
    if runs_alone or is_empty or not signature.is_batchable or len(counts) != 1 or rows not in counts:
        task.key = (task.servable.name, task)
        return
    task.is_shared = True
    kinds = [inputs[name].ndim if is_padded else inputs[name].shape[1:] for name in signature.inputs]
    outputs = None if task.outputs is None else frozenset(task.outputs)
    task.key = (task.servable.name, task.servable, signature.name, outputs, *kinds)


def bytes_of(array: np.ndarray) -> int:
    """Returns what an array takes in memory, strings with what Python adds to each."""
    if array.dtype.kind != "O":
        return array.nbytes
    return sum(map(len, array.flat)) + array.nbytes + array.size * _STRING_BYTES
