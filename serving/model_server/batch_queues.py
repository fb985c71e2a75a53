"""Requests that wait for a worker: bounded, and fair across models."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import threading
import time
from collections.abc import Sequence

from applications.errors import ConfigError
from serving.model_server.batch_task import Key, Stage, Task
from serving.model_server.errors import Code, ServingError

FULL = "The batch scheduling queue to which this task was submitted is full"
_MICROS = 1e6


def cores() -> int:
    """Returns the processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        return os.cpu_count() or 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingParameters:
    """How requests are put together; the names are TensorFlow Serving's, the defaults are for batching unasked."""

    max_batch_size: int = 64  # rows
    batch_timeout_micros: int = 0  # µs a batch waits to fill while a worker is free; 0 takes what is there
    max_enqueued_batches: int = 64  # batches of max_batch_size rows that may wait, per model
    num_batch_threads: int = dataclasses.field(default_factory=cores)  # batches computed at once
    thread_pool_name: str = ""
    allowed_batch_sizes: tuple[int, ...] = ()  # rows; smaller batches are filled up by repeating a row
    pad_variable_length_inputs: bool = False  # with zeros and empty strings, to the longest of a batch
    enable_large_batch_splitting: bool = True  # else a request of more rows than max_batch_size is refused
    max_queue_bytes: int = 512 << 20  # bytes of inputs that may wait, all models together
    batches_requests: bool = True  # else each is computed alone and whole
    limits_requests: bool = False  # whether a request of more rows than may wait is refused, and not just while some do

    @property
    def capacity_rows(self) -> int:
        """Rows of one model that may wait."""
        return self.max_batch_size * self.max_enqueued_batches

    @property
    def max_request_rows(self) -> int | None:
        """Rows of the largest request that is ever taken; None for any number, one request at a time."""
        if not self.enable_large_batch_splitting:
            return self.max_batch_size
        return self.capacity_rows if self.limits_requests else None

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_queue_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.batch_timeout_micros < 0:
            raise ConfigError(f"batch_timeout_micros must be 0 or more, got {self.batch_timeout_micros}.")
        sizes = self.allowed_batch_sizes
        if sizes and (sizes[-1] != self.max_batch_size or any(a >= b for a, b in itertools.pairwise(sizes))):
            raise ConfigError(
                f"allowed_batch_sizes must rise and end with max_batch_size={self.max_batch_size}, got {list(sizes)}."
            )


class BatchQueues:
    """One queue for each kind of request that can be computed together. All methods may be called from any thread."""

    def __init__(self, parameters: BatchingParameters) -> None:
        self._parameters = parameters
        self._is_open = True
        self._changed = threading.Condition()
        # Model → kind → tasks, all in the order of their turns; a dict for a queue, so that any task can leave it.
        self._models: dict[str, dict[Key, dict[Task, None]]] = {}
        self._waiting: collections.Counter[str] = collections.Counter()  # rows, by model
        self._running: collections.Counter[str] = collections.Counter()  # rows, by model
        self._bytes = 0

    @property
    def capacity_rows(self) -> int:
        """Rows of one model that may wait."""
        return self._parameters.capacity_rows

    def waiting_rows(self) -> dict[str, int]:
        """Returns the rows that wait now, by model."""
        with self._changed:
            return dict(self._waiting)

    def put(self, task: Task) -> None:
        """Queues a measured task; `wake` tells the workers.

        Raises:
            ServingError: UNAVAILABLE (429 over REST) when the model's queue is full.
        """
        model = task.servable.name
        with self._changed:
            waiting = self._waiting[model]
            is_full = waiting and waiting + task.rows > self.capacity_rows
            if is_full or self._bytes + task.bytes > self._parameters.max_queue_bytes:
                raise ServingError(Code.UNAVAILABLE, FULL, http_status=429)
            task.queued_s = time.monotonic()
            self._models.setdefault(model, {}).setdefault(task.key, {})[task] = None
            self._waiting[model] = waiting + task.rows
            self._bytes += task.bytes

    def wake(self) -> None:
        """Tells a free worker that there is something to take; if that one leaves some, it tells the next."""
        with self._changed:
            self._changed.notify()

    def discard(self, task: Task) -> bool:
        """Takes a task out, unless a worker has it; returns whether nothing will compute it."""
        with self._changed:
            if task.stage is Stage.WAITING:
                self._remove(task)
            return task.stage is Stage.OVER

    def take(self, done: Sequence[Task] = ()) -> list[Task]:
        """Waits for work and returns a batch whose tasks share one key; nothing once the queues are closed.

        Args:
            done: the batch that the calling worker has computed. Its clients are likely to ask again, so it counts once
                more when the load is shared between workers: else each would take too little.
        """
        with self._changed:
            while self._is_open:
                now = time.monotonic()
                key, ready_s = self._next_key(now)
                is_ready = key is not None and ready_s <= now
                batch = self._take_from(key, now) if key is not None and is_ready else []
                self._forget(done)
                done = ()
                if self._models and is_ready:
                    self._changed.notify()
                if batch:
                    return batch
                if not is_ready:
                    self._changed.wait(None if key is None else ready_s - now)
            self._forget(done)
            return []

    def close(self) -> None:
        """Sends the workers home; what waits still is not computed."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def _forget(self, done: Sequence[Task]) -> None:
        """Counts a batch as no longer running."""
        if done:
            model = done[0].servable.name
            self._running[model] -= sum(task.rows for task in done)
            if self._running[model] <= 0:
                del self._running[model]

    def _next_key(self, now: float) -> tuple[Key | None, float]:
        """Returns the first kind that may be computed, or the one that may be soonest, and when."""
        timeout_s = self._parameters.batch_timeout_micros / _MICROS
        soonest: tuple[Key | None, float] = (None, 0.0)
        for kinds in self._models.values():
            for key, tasks in kinds.items():
                first = next(iter(tasks))
                if not timeout_s or sum(task.rows for task in tasks) >= self._parameters.max_batch_size:
                    return key, now
                ready_s = first.queued_s + timeout_s
                if ready_s <= now:
                    return key, now
                if soonest[0] is None or ready_s < soonest[1]:
                    soonest = (key, ready_s)
        return soonest

    def _take_from(self, key: Key, now: float) -> list[Task]:
        model = str(key[0])
        tasks = self._models[model][key]
        limit = self._share(model)
        batch: list[Task] = []
        rows = 0
        for task in list(tasks):
            if task.deadline_s is not None and task.deadline_s <= now:
                self._remove(task)
                continue
            if batch and rows + task.rows > limit:
                break
            batch.append(task)
            rows += task.rows
        for task in batch:
            self._remove(task)
            task.stage = Stage.RUNNING
            task.started_s = now
        if model in self._models:  # others first, next time
            kinds = self._models[model] = self._models.pop(model)
            if key in kinds:
                kinds[key] = kinds.pop(key)
        if batch:
            self._running[model] += rows
        return batch

    def _share(self, model: str) -> int:
        """Returns the rows one worker should take, so that a load that several can share does not wait for one."""
        most = self._parameters.max_batch_size
        if self._parameters.batch_timeout_micros:
            return most
        rows = self._waiting[model] + self._running[model]
        return max(1, min(most, -(-rows // self._parameters.num_batch_threads)))

    def _remove(self, task: Task) -> None:
        """Takes a waiting task out of its queue and out of the counts."""
        model = task.servable.name
        kinds = self._models[model]
        tasks = kinds[task.key]
        del tasks[task]
        if not tasks:
            del kinds[task.key]
            if not kinds:
                del self._models[model]
        self._waiting[model] -= task.rows
        if not self._waiting[model]:
            del self._waiting[model]
        self._bytes -= task.bytes
        task.stage = Stage.OVER
