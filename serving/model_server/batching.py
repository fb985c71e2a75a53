"""Puts requests of all transports together, so that the model is called with many rows at once.

No request waits for others while a worker is free: a worker takes what is there. Under load batches grow on their own,
for requests gather while the workers compute.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from serving.model_server.batch_compute import as_serving_error, compute, run_sizes
from serving.model_server.batch_queues import BatchingParameters, BatchQueues
from serving.model_server.batch_task import Task, measure
from serving.model_server.errors import Code, ServingError

if TYPE_CHECKING:
    from serving.model_server.metrics import Metrics

__all__ = ["Batcher", "BatchingParameters", "Task"]

LATE = "Timed out waiting for notification"
_TOO_LARGE = 413  # HTTP status; 429, as for a full queue, asks the client to try again
_SWEEP_S = 0.02  # between two looks for requests that are past their deadline
_LOG = logging.getLogger(__name__)


class Batcher:
    """Workers over the queues. Its methods are for the loop's thread; models compute in the workers'."""

    def __init__(
        self, parameters: BatchingParameters, loop: asyncio.AbstractEventLoop, metrics: Metrics | None = None
    ) -> None:
        """Starts the workers.

        Args:
            parameters: sizes, limits and the number of workers.
            loop: where answers are handed out.
            metrics: told of every batch.
        """
        self.parameters = parameters
        self.queues = BatchQueues(parameters)
        self._loop = loop
        self._metrics = metrics
        self._open: dict[Task, None] = {}  # not answered, or computed still
        self._is_wake_due = False
        self._is_sweep_due = False
        self._alone: set[tuple[str, int, str]] = set()  # whose outputs turned out not to be rows
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        """Queues a request; its `answer` and `release` are called later.

        Raises:
            ServingError: the queue is full, or the request larger than one may ever be. Neither is called then.
        """
        parameters = self.parameters
        alone = not parameters.batches_requests or (bool(self._alone) and _function_of(task) in self._alone)
        measure(task, is_padded=parameters.pad_variable_length_inputs, runs_alone=alone)
        _check_size(task, parameters)
        self.queues.put(task)
        self._open[task] = None
        # Requests that one turn of the loop has read go together: workers are woken at its end.
        if not self._is_wake_due:
            self._is_wake_due = True
            self._loop.call_soon(self._wake)
        if task.deadline_s is not None and not self._is_sweep_due:
            self._is_sweep_due = True
            self._loop.call_later(_SWEEP_S, self._sweep)

    def cancel(self, task: Task) -> None:
        """Forgets a request whose client went away: no answer; `release` is called when nothing computes it."""
        if not task.is_answered:
            task.is_answered = True
            self._drop(task)

    def close(self) -> None:
        """Ends the workers after what they compute; requests that wait get UNAVAILABLE."""
        self.queues.close()
        for task in list(self._open):
            self._fail(task, ServingError(Code.UNAVAILABLE, "the server is shutting down"))

    def _wake(self) -> None:
        self._is_wake_due = False
        self.queues.wake()

    def _sweep(self) -> None:
        now = self._loop.time()
        self._is_sweep_due = bool(self._open)
        if self._is_sweep_due:
            self._loop.call_later(_SWEEP_S, self._sweep)
        for task in [task for task in self._open if task.deadline_s is not None and task.deadline_s <= now]:
            self._fail(task, ServingError(Code.DEADLINE_EXCEEDED, LATE))

    def _fail(self, task: Task, error: ServingError) -> None:
        if not task.is_answered:
            task.is_answered = True
            self._drop(task)
            task.answer(None, error)

    def _drop(self, task: Task) -> None:
        """Takes a task that is answered out of the queue; one that a worker has is released when that is done."""
        if self.queues.discard(task) and task in self._open:
            del self._open[task]
            task.release()

    def _work(self) -> None:
        batch: list[Task] = []
        while batch := self.queues.take(batch):
            is_row_wise = True
            try:
                is_row_wise = compute(batch, self.parameters)
            except BaseException as error:  # a worker that dies leaves requests without an answer
                _LOG.exception("a batch failed outside the model")
                for task in batch:
                    task.error = task.error or as_serving_error(RuntimeError(repr(error)))
            try:
                self._loop.call_soon_threadsafe(self._deliver, batch, is_row_wise)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _deliver(self, batch: list[Task], is_row_wise: bool) -> None:
        if not is_row_wise:
            self._alone.add(_function_of(batch[0]))
        if self._metrics is not None:
            waited_s = [task.started_s - task.queued_s for task in batch]
            rows = [task.rows for task in batch]
            self._metrics.batch(self.parameters.thread_pool_name, waited_s, rows, run_sizes(batch, self.parameters))
        for task in batch:
            self._open.pop(task, None)
            try:
                if not task.is_answered:
                    task.is_answered = True
                    task.answer(task.result, task.error)
            except Exception:  # one transport's mistake must not take the others' answers
                _LOG.exception("an answer could not be handed out")
            finally:
                task.release()


def _check_size(task: Task, parameters: BatchingParameters) -> None:
    """Refuses what would not be taken from an empty queue either, with a code that asks nobody to try again."""
    most = parameters.max_request_rows
    if most is not None and task.rows > most:
        raise ServingError(
            Code.INVALID_ARGUMENT,
            f"Task size {task.rows} is larger than maximum input batch size {most}. Send fewer rows in a request.",
        )
    if task.bytes > parameters.max_queue_bytes:
        raise ServingError(
            Code.RESOURCE_EXHAUSTED,
            f"the inputs take {task.bytes} bytes in memory, and --max_queue_bytes={parameters.max_queue_bytes} may "
            "wait in all. Send fewer rows in a request.",
            http_status=_TOO_LARGE,
        )


def _function_of(task: Task) -> tuple[str, int, str]:
    return task.servable.name, task.servable.version, task.signature.name
