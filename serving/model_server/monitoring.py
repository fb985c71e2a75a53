"""What of the models' life and of the queues becomes a metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from serving.model_server.errors import ServingError
from serving.model_server.events import Event, LoadAttempt, State, WarmUp
from serving.model_server.metrics import Labels, Metrics

if TYPE_CHECKING:
    from serving.model_server.batch_queues import BatchQueues
    from serving.model_server.manager import Manager

_MICROS = 1e6


def count_event(metrics: Metrics, event: Event) -> None:
    """Counts what the manager tells; from any thread."""
    if isinstance(event, LoadAttempt):
        path = str(event.path)
        metrics.load_attempts.add(path, "fail" if event.error else "success")
        if not event.error:
            metrics.load_latency.add(path, amount=round(event.seconds * _MICROS))
    elif isinstance(event, WarmUp):
        path, status = str(event.path), "fail" if event.error else "success"
        metrics.warmup_records.add(path, status, amount=event.records)
        metrics.warmup_latency.observe(path, status, value=event.seconds * _MICROS)


def watch(metrics: Metrics, manager: Manager, queues: BatchQueues) -> None:
    """Adds what is read when the page is made: queues, and which versions answer."""

    def waiting() -> Mapping[Labels, float]:
        """Returns the rows that wait, by model."""
        rows = queues.waiting_rows()
        return {(name,): rows.get(name, 0) for name in manager.models()}

    def capacity() -> Mapping[Labels, float]:
        """Returns the rows that may wait, by model."""
        return {(name,): queues.capacity_rows for name in manager.models()}

    def versions() -> Mapping[Labels, float]:
        """Returns the newest version that answers, 0 for none, by model."""
        return {(name,): _newest(manager, name) for name in manager.models()}

    def ready() -> Mapping[Labels, float]:
        """Returns 1 where some version answers, else 0, by model."""
        return {labels: float(version > 0) for labels, version in versions().items()}

    metrics.watch("earthloop_serving_queue_items", "model_name", read=waiting)
    metrics.watch("earthloop_serving_queue_capacity_items", "model_name", read=capacity)
    metrics.watch("earthloop_serving_model_ready", "model_name", read=ready)
    metrics.watch("earthloop_serving_model_version", "model_name", read=versions)


def _newest(manager: Manager, model: str) -> int:
    """Returns the newest version that answers; 0 for none."""
    try:
        statuses = manager.status(model)
    except ServingError:
        return 0
    return max((one.version for one in statuses if one.state is State.AVAILABLE), default=0)
