"""Brings versions up and takes them down in threads of their own, as the policy says."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from serving.model_server.errors import Code, ServingError
from serving.model_server.events import Listener, LoadAttempt, State, StateChange, VersionStatus, tell
from serving.model_server.leases import Held
from serving.model_server.managed import Managed, Model
from serving.model_server.policy import Phase
from serving.model_server.servable import Servable

_LOG = logging.getLogger(__name__)

Load = Callable[[str, int, Path], Servable]  # model, version, its folder; raises ServingError


class Lifecycle:
    """The models of a server and the threads that load and unload their versions.

    `changed` guards everything here but `serving`, and is notified of every change. It is never held while something
    is loaded or unloaded. `serving` is replaced as a whole and read without it.

    Attributes:
        changed: the lock.
        models: by name, those that have left the configuration included.
        serving: what answers, by model and version; version None stands for the newest.
    """

    def __init__(
        self, load: Load, *, load_threads: int, max_retries: int, retry_interval_s: float, on_event: Listener | None
    ) -> None:
        """Takes what loads a version; see `ManagerOptions`."""
        self.changed = threading.Condition()
        self.models: dict[str, Model] = {}
        self.serving: Mapping[tuple[str, int | None], Held] = {}
        self._load = load
        self._load_slots = threading.Semaphore(max(1, load_threads))
        self._max_retries = max_retries
        self._retry_interval_s = max(0.0, retry_interval_s)
        self._on_event = on_event

    def advance(self) -> None:
        """Starts whatever the policy asks for; called with the lock held, after every change."""
        for model in self.models.values():
            for status in model.reconcile():
                self._set_status(model, status)
            while (action := model.next_action()) is not None:
                managed = model.versions[action.version]
                if action.is_load:
                    self._start_load(model, managed)
                else:
                    self._start_unload(model, managed)
        self.changed.notify_all()

    def retry_due(self, now: float) -> float | None:
        """Starts the loads whose time to be tried again has come; called with the lock held.

        Args:
            now: seconds of `time.monotonic`.

        Returns:
            When the next one is due; None if none waits.
        """
        waiting = [
            (one.retry_at, model, one)
            for model in self.models.values()
            for one in model.versions.values()
            if one.retry_at is not None
        ]
        for due, model, managed in waiting:
            if due <= now:
                managed.retry_at = None
                self._start_load(model, managed)
        return min((due for due, _, _ in waiting if due > now), default=None)

    def _start_load(self, model: Model, managed: Managed) -> None:
        managed.phase = Phase.LOADING
        last = model.statuses[managed.version]
        self._set_status(model, VersionStatus(managed.version, State.LOADING, last.code, last.message))
        try:
            threading.Thread(target=self._try_load, args=(model, managed), name="load", daemon=True).start()
        except RuntimeError as error:  # the system gives no more threads now
            self._failed(model, managed, ServingError(Code.RESOURCE_EXHAUSTED, f"nothing can load it: {error}"))

    def _try_load(self, model: Model, managed: Managed) -> None:
        with self._load_slots:
            started = time.monotonic()
            servable, error = None, None
            if managed.is_wanted:
                servable, error = self._attempt(model.name, managed)
                seconds = time.monotonic() - started
                tell(self._on_event, LoadAttempt(model=model.name, path=managed.path, seconds=seconds, error=error))
        with self.changed:
            is_cancelled = not managed.is_wanted
            if not is_cancelled and servable is not None:
                self._loaded(model, managed, servable)
            elif not is_cancelled and error is not None:
                self._failed(model, managed, error)
        if is_cancelled:
            self._cancelled(model, managed, servable)

    def _attempt(self, name: str, managed: Managed) -> tuple[Servable | None, ServingError | None]:
        _LOG.info("Loading servable version {name: %s version: %d}", name, managed.version)
        try:
            return self._load(name, managed.version, managed.path), None
        except ServingError as error:
            return None, error
        except Exception as error:
            _LOG.exception("loading version %d of model %s failed", managed.version, name)
            return None, ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")

    def _loaded(self, model: Model, managed: Managed, servable: Servable) -> None:
        managed.held = Held(servable)
        managed.phase = Phase.READY
        self._publish()
        _LOG.info("Successfully loaded servable version {name: %s version: %d}", model.name, managed.version)
        self._set_status(model, VersionStatus(managed.version, State.AVAILABLE))
        self.advance()

    def _failed(self, model: Model, managed: Managed, error: ServingError) -> None:
        managed.failures += 1
        _LOG.error("Servable {name: %s version: %d} cannot be loaded: %s", model.name, managed.version, error)
        is_last = managed.failures > self._max_retries
        if is_last:
            managed.phase = Phase.ERROR
        else:
            managed.retry_at = time.monotonic() + self._retry_interval_s
        state = State.END if is_last else State.LOADING
        self._set_status(model, VersionStatus(managed.version, state, error.code, str(error)))
        self.advance()

    def _cancelled(self, model: Model, managed: Managed, servable: Servable | None) -> None:
        if servable is not None:
            self._close(servable)
        self._end(
            model, managed, VersionStatus(managed.version, State.END, Code.CANCELLED, "Loading of servable cancelled")
        )

    def _start_unload(self, model: Model, managed: Managed) -> None:
        managed.phase = Phase.UNLOADING
        self._publish()
        self._set_status(model, VersionStatus(managed.version, State.UNLOADING))
        threading.Thread(target=self._unload, args=(model, managed), name="unload", daemon=True).start()

    def _unload(self, model: Model, managed: Managed) -> None:
        held, managed.held = managed.held, None
        if held is not None:
            held.close()
            held.wait_until_unused()
            self._close(held.servable)
            del held
            _give_memory_back()
            _LOG.info("Done unloading servable version {name: %s version: %d}", model.name, managed.version)
        self._end(model, managed, VersionStatus(managed.version, State.END))

    def _end(self, model: Model, managed: Managed, status: VersionStatus) -> None:
        with self.changed:
            del model.versions[managed.version]
            self._set_status(model, status)
            self.advance()

    def _publish(self) -> None:
        """Lets requests see what answers now."""
        serving: dict[tuple[str, int | None], Held] = {}
        for model in self.models.values():
            available = model.available()
            serving.update({(model.name, version): held for version, held in available.items()})
            if available:
                serving[model.name, None] = available[max(available)]
        self.serving = serving

    def _set_status(self, model: Model, status: VersionStatus) -> None:
        model.set_status(status)
        tell(self._on_event, StateChange(model=model.name, status=status))

    def _close(self, servable: Servable) -> None:
        try:
            servable.close()
        except Exception as error:
            _LOG.exception("unloading version %d of model %s failed: %s", servable.version, servable.name, error)


def _give_memory_back() -> None:
    """Returns freed memory to the system; without this, glibc keeps about 1 MB for each version that came and went."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
