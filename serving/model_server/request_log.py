"""A sample of the requests and their answers, on disk, so that true labels can be joined to them later.

Two files side by side: TFRecords of `PredictionLog`, which hold everything and are what TensorFlow Serving's warm-up
reads, and a Parquet table with a line per item: time, the client's id, model and version, label and score, and the
SHA-256 of what was sent. A thread writes them; the transports only put an entry into a queue that cannot grow beyond
its limits, so a slow or full disk costs entries, which are counted, and never an answer.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.model_server.log_entries import Answered
from serving.model_server.log_files import Entry, RotatingFiles, Rotation

if TYPE_CHECKING:
    from serving.model_server.metrics import Metrics

__all__ = ["Answered", "LogSettings", "RequestLog"]

_LOG = logging.getLogger(__name__)
_RETRY_S = 30.0  # seconds without a try after the disk refused
_TICK_S = 1.0  # seconds between two looks at the age of the open files
_CLOSE_S = 10.0  # seconds that a stop waits for what is queued


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogSettings:
    """What is logged, and how much of it may wait.

    Attributes:
        folder: where to; None logs only the models whose own `logging_config` names a file prefix.
        sampling_rate: fraction of the requests, 0 to 1, for models without a `logging_config`.
        max_file_bytes: a file that is larger is finished.
        max_file_s: so is one that is older; also the most that a killed server loses of the table.
        max_queued: entries that may wait for the disk.
        max_queued_bytes: bytes of inputs and outputs that may wait.
    """

    folder: Path | None = None
    sampling_rate: float = 1.0
    max_file_bytes: int = 64 << 20
    max_file_s: float = 300.0
    max_queued: int = 4096
    max_queued_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        """Checks the range of the rate."""
        if not 0 <= self.sampling_rate <= 1:
            raise ValueError(
                f"the sampling rate of the request log must be a fraction from 0 to 1, got {self.sampling_rate}. "
                "Set --request_log_sampling_rate to 1 for every request, to 0.01 for one in a hundred."
            )


class RequestLog:
    """Takes answered requests from any thread and writes a sample of them."""

    def __init__(self, settings: LogSettings, metrics: Metrics | None = None) -> None:
        """Starts nothing: the thread starts with the first entry.

        Args:
            settings: what is logged, and how much of it may wait.
            metrics: told of entries that the disk did not take; of those without room, whoever calls `record` tells.
        """
        self._settings = settings
        self._metrics = metrics
        self._own: dict[str, tuple[float, Path | None]] = {}  # model -> rate and file prefix of its logging_config
        self._queue: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued = 0
        self._queued_bytes = 0
        self._counts = {"written": 0, "dropped": 0, "failed": 0}
        self._files: dict[Path, RotatingFiles] = {}
        self._refused: dict[Path, float] = {}  # file prefix -> when it is tried again, seconds of `time.monotonic`
        self._untold: set[str] = set()  # models of which an answer could not be put into words
        self._next_look_s = 0.0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def apply(self, config: Any) -> None:
        """Takes the sampling of each model from its `logging_config`.

        Args:
            config: a ModelServerConfig; models in it without a `logging_config` have the settings' rate.
        """
        own = {}
        for model in config.model_config_list.config:
            if model.HasField("logging_config"):
                prefix = model.logging_config.log_collector_config.filename_prefix
                rate = min(max(model.logging_config.sampling_config.sampling_rate, 0.0), 1.0)
                own[model.name] = (rate, Path(prefix) if prefix else None)
        self._own = own

    def wants(self, model: str) -> bool:
        """Says whether this request is in the sample; to be asked once per request."""
        rate, prefix = self._own.get(model) or (self._settings.sampling_rate, None)
        if rate <= 0 or (prefix is None and self._settings.folder is None):
            return False
        return rate >= 1 or random.random() < rate

    def record(self, answered: Answered) -> bool:
        """Puts an entry into the queue, or counts it as dropped; returns whether it was taken, at once."""
        size = answered.bytes()
        with self._lock:
            is_full = self._queued >= self._settings.max_queued
            if self._is_closed or is_full or self._queued_bytes + size > self._settings.max_queued_bytes:
                self._counts["dropped"] += 1
                return False
            self._queued += 1
            self._queued_bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
                self._thread.start()
            self._queue.put(answered)  # within the lock: nothing may come after what `close` puts there
        return True

    def counts(self) -> Mapping[str, int]:
        """Returns how many entries were `written`, `dropped` for a full queue, and `failed` on the disk."""
        with self._lock:
            return dict(self._counts)

    def close(self) -> None:
        """Writes what is queued, finishes the files and ends the thread."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        if thread is not None:
            self._queue.put(None)
            thread.join(_CLOSE_S)

    def _work(self) -> None:
        """The thread: writes entries, and finishes files that have grown old."""
        while True:
            if time.monotonic() >= self._next_look_s:  # also while one model's entries keep coming
                self._next_look_s = time.monotonic() + _TICK_S
                self._finish(only_due=True)
            try:
                answered = self._queue.get(timeout=_TICK_S)
            except queue.Empty:
                continue
            if answered is None:
                self._finish(only_due=False)
                return
            self._write(answered)
            with self._lock:
                self._queued -= 1
                self._queued_bytes -= answered.bytes()

    def _write(self, answered: Answered) -> None:
        prefix, is_written = self._prefix_of(answered.model), False
        if time.monotonic() >= self._refused.get(prefix, 0.0) and (entry := self._entry(answered)) is not None:
            is_written = self._attempt(prefix, lambda: self._files_of(prefix).add(entry))
        with self._lock:
            self._counts["written" if is_written else "failed"] += 1
        if not is_written and self._metrics is not None:
            self._metrics.log_dropped.add(answered.model)
        if is_written and self._refused.pop(prefix, None) is not None:
            _LOG.warning("%s-… is written again; %d entries are missing in all", prefix, self._counts["failed"])

    def _entry(self, answered: Answered) -> Entry | None:
        """Puts an answer into words; None for one that has none, which is said once of each model."""
        try:
            return Entry.of(answered)
        except Exception as error:  # a model may give anything
            if answered.model not in self._untold:
                self._untold.add(answered.model)
                _LOG.warning("an answer of model %s cannot be logged (%s); others are", answered.model, error)
            return None

    def _attempt(self, prefix: Path, act: Callable[[], None]) -> bool:
        """Does something to the files of one prefix; says once that the disk refuses them."""
        try:
            act()
        except Exception as error:  # a file system may raise anything, and no entry is worth the thread
            if prefix not in self._refused:
                _LOG.warning(
                    "the request log cannot be written (%s); requests are answered and not logged, and it is tried "
                    "again every %.0f seconds. Free some space, or mend the folder's permissions.", error, _RETRY_S
                )  # fmt: skip
            self._refused[prefix] = time.monotonic() + _RETRY_S
            files = self._files.pop(prefix, None)
            lost = files.abandon() if files is not None else 0
            with self._lock:
                self._counts["written"] -= lost
                self._counts["failed"] += lost
            return False
        return True

    def _finish(self, *, only_due: bool) -> None:
        for prefix, files in list(self._files.items()):
            self._attempt(prefix, partial(files.finish, only_due=only_due))

    def _prefix_of(self, model: str) -> Path:
        _, prefix = self._own.get(model, (0.0, None))
        return prefix or (self._settings.folder or Path()) / "requests"

    def _files_of(self, prefix: Path) -> RotatingFiles:
        if prefix not in self._files:
            rotation = Rotation(max_bytes=self._settings.max_file_bytes, max_s=self._settings.max_file_s)
            self._files[prefix] = RotatingFiles(prefix, rotation)
        return self._files[prefix]
