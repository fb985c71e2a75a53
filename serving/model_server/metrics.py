"""What the server counts, under TensorFlow Serving's names and in its Prometheus text.

Counters carry no `_total` and times are in microseconds where TensorFlow Serving has it so: dashboards and rules made
for one server fit the other. What only this server has is named `earthloop_serving_…`, in base units.
"""

from __future__ import annotations

import bisect
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from serving.model_server.errors import Code

Labels = tuple[str, ...]
_MICROS = 1e6


def _exponential(scale: float, factor: float, count: int) -> tuple[float, ...]:
    return tuple(scale * factor**power for power in range(count))


LATENCY_BOUNDS_US = _exponential(10, 1.8, 33)
QUEUING_BOUNDS_US = _exponential(100, 1.2, 52)
EXAMPLES_BOUNDS = _exponential(1, 2, 15)
BATCH_BOUNDS = _exponential(1, 2, 14)


class Counter:
    """A number for each combination of labels, which only grows."""

    kind = "counter"

    def __init__(self, name: str, *labels: str) -> None:
        self.name = name
        self.labels = labels
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, *labels: str, amount: float = 1) -> None:
        """Adds to the number of these label values."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + amount

    def value(self, *labels: str) -> float:
        """Returns the number of these label values; 0 where nothing was added yet."""
        return self._values.get(labels, 0)

    def lines(self) -> Iterator[str]:
        """Yields the samples, in Prometheus' text format."""
        for labels, value in sorted(self._values.items()):
            yield f"{self.name}{_braces(self.labels, labels)} {_number(value)}"


class Gauge:
    """Numbers that are asked for when they are read."""

    def __init__(
        self, name: str, *labels: str, read: Callable[[], Mapping[Labels, float]], kind: str = "gauge"
    ) -> None:
        self.name = name
        self.kind = kind
        self.labels = labels
        self._read = read

    def lines(self) -> Iterator[str]:
        """Yields the samples, in Prometheus' text format."""
        for labels, value in sorted(self._read().items()):
            yield f"{self.name}{_braces(self.labels, labels)} {_number(value)}"


class Histogram:
    """How many values fell below each bound, for each combination of labels."""

    kind = "histogram"

    def __init__(self, name: str, *labels: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.labels = labels
        self._bounds = bounds
        self._counts: dict[Labels, list[float]] = {}  # one for each bound, one above, and the sum of the values
        self._lock = threading.Lock()

    def observe(self, *labels: str, value: float) -> None:
        """Counts one value, in the unit of the bounds."""
        self.observe_all((value,), *labels)

    def observe_all(self, values: Sequence[float], *labels: str) -> None:
        """Counts values under the same labels."""
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0.0] * (len(self._bounds) + 2)
            for value in values:
                counts[bisect.bisect_left(self._bounds, value)] += 1
                counts[-1] += value

    def count(self, *labels: str) -> int:
        """Returns how many values were seen under these labels."""
        return int(sum(self._counts.get(labels, [0.0])[:-1]))

    def lines(self) -> Iterator[str]:
        """Yields the samples, in Prometheus' text format."""
        for labels, counts in sorted(self._counts.items()):
            below = list(itertools.accumulate(counts[:-1]))
            for bound, count in zip((*map(_bound, self._bounds), "+Inf"), below, strict=True):
                yield f"{self.name}_bucket{_braces((*self.labels, 'le'), (*labels, bound))} {_number(count)}"
            yield f"{self.name}_sum{_braces(self.labels, labels)} {_number(counts[-1])}"
            yield f"{self.name}_count{_braces(self.labels, labels)} {_number(below[-1])}"


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        serving = ":tensorflow:serving:"
        session = f"{serving}batching_session:"
        saved_model = ":tensorflow:cc:saved_model:"
        model = "model_name"
        latency = LATENCY_BOUNDS_US
        self.request_count = Counter(f"{serving}request_count", model, "status")
        self.request_latency = Histogram(f"{serving}request_latency", model, "API", "entrypoint", bounds=latency)
        self.runtime_latency = Histogram(f"{serving}runtime_latency", model, "API", "runtime", bounds=latency)
        self.example_count = Counter(f"{serving}request_example_count_total", "model")
        self.example_counts = Histogram(f"{serving}request_example_counts", "model", bounds=EXAMPLES_BOUNDS)
        self.queuing = Histogram(f"{session}queuing_latency", "thread_pool_name", bounds=QUEUING_BOUNDS_US)
        self.input_batch = Histogram(f"{session}input_batch_size", bounds=BATCH_BOUNDS)
        self.processed_batch = Histogram(f"{session}processed_batch_size", bounds=BATCH_BOUNDS)
        self.batch_runs = Counter(f"{session}wrapped_run_count")
        self.load_attempts = Counter(f"{saved_model}load_attempt_count", "model_path", "status")
        self.load_latency = Counter(f"{saved_model}load_latency", "model_path")  # µs
        self.warmup_records = Counter(f"{serving}model_warmup_records_read", "model_path", "status")
        self.warmup_latency = Histogram(f"{serving}model_warmup_latency", "model_path", "status", bounds=latency)
        self.logged = Counter(f"{serving}request_log_count", model, "status_code")
        self.queue_full = Counter("earthloop_serving_queue_full_total", model)
        self.log_dropped = Counter("earthloop_serving_request_log_dropped_total", model)
        self._metrics: list[Counter | Gauge | Histogram] = [
            metric for metric in vars(self).values() if isinstance(metric, (Counter, Histogram))
        ]
        self._metrics += _process_gauges()

    def watch(self, name: str, *labels: str, read: Callable[[], Mapping[Labels, float]]) -> None:
        """Adds a gauge that is asked for when the page is made.

        Args:
            name: of the metric.
            labels: their names.
            read: gives the numbers by label values.
        """
        self._metrics.append(Gauge(name, *labels, read=read))

    def request(self, model: str, api: str, entrypoint: str, code: Code, seconds: float) -> None:
        """Counts one request, as TensorFlow Serving does: the latency of answered ones alone.

        Args:
            model: "" for one that is not served, so that clients cannot make up label values.
            api: "predict" … over REST, "Predict" … over gRPC, "" for status and metadata.
            entrypoint: "REST" or "GRPC".
            code: how it ended.
            seconds: from the last byte of the request to the answer.
        """
        self.request_count.add(model, code.name)
        if code is Code.OK:
            self.request_latency.observe(model, api, entrypoint, value=seconds * _MICROS)

    def examples(self, model: str, count: int) -> None:
        """Counts the tf.Examples of one request."""
        self.example_count.add(model, amount=count)
        self.example_counts.observe(model, value=count)

    def request_logged(self, model: str, *, is_taken: bool) -> None:
        """Counts a sampled request that went to the log, or for which there was no room."""
        if is_taken:
            self.logged.add(model, Code.OK.name)
        else:
            self.log_dropped.add(model)

    def batch(self, pool: str, waited_s: Sequence[float], rows: Sequence[int], runs: Sequence[int]) -> None:
        """Counts one computed batch.

        Args:
            pool: name of the threads.
            waited_s: seconds that each of its requests waited.
            rows: of each of its requests.
            runs: rows of each run of the model, those that only fill it up included.
        """
        self.queuing.observe_all([wait * _MICROS for wait in waited_s], pool)
        self.input_batch.observe_all(rows)
        self.processed_batch.observe_all(runs)
        self.batch_runs.add(amount=len(runs))

    def render(self) -> bytes:
        """Returns the page for Prometheus."""
        return ("\n".join(self._lines()) + "\n").encode()

    def _lines(self) -> Iterator[str]:
        for metric in self._metrics:
            yield f"# TYPE {metric.name} {metric.kind}"
            yield from metric.lines()


def _process_gauges() -> list[Gauge]:
    started_s = time.time()

    def resident() -> Mapping[Labels, float]:
        """Returns the bytes of memory that the process has."""
        try:
            with open("/proc/self/statm", encoding="ascii") as statm:
                return {(): int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")}
        except OSError:  # no Linux
            return {}

    return [
        Gauge("process_resident_memory_bytes", read=resident),
        Gauge("process_cpu_seconds_total", read=lambda: {(): time.process_time()}, kind="counter"),
        Gauge("process_start_time_seconds", read=lambda: {(): started_s}),
    ]


def _braces(names: Sequence[str], values: Iterable[str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _bound(bound: float) -> str:
    return f"{bound:g}"
