"""The models of a server: takes configurations, watches folders, and lends loaded versions to requests."""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from serving.model_server.errors import Code, ServingError
from serving.model_server.events import Listener, State, VersionStatus
from serving.model_server.leases import Lease
from serving.model_server.lifecycle import Lifecycle, Load
from serving.model_server.managed import Model
from serving.model_server.model_configs import checked, labels_of
from serving.model_server.sources import Folders

if TYPE_CHECKING:
    from tensorflow_serving.config import model_server_config_pb2

__all__ = ["Lease", "Manager", "ManagerOptions", "State", "VersionStatus"]

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ManagerOptions:
    """How versions come and go.

    Attributes:
        poll_wait_s: between looks into the models' folders; 0 looks once after each configuration, below 0 never.
        load_threads: versions loaded at the same time.
        max_load_retries: further tries after a load that failed.
        retry_interval_s: between tries; below 0 does not wait.
        are_early_labels_allowed: whether a new label may name a version that does not answer yet.
    """

    poll_wait_s: float = 1.0
    load_threads: int = 1
    max_load_retries: int = 5
    retry_interval_s: float = 60.0
    are_early_labels_allowed: bool = False


class Manager:
    """All models of a server.

    No lock is held while something is loaded, unloaded or read from a disk, and `lease` takes none but that of the
    version it lends: it reads a table that is replaced as a whole.
    """

    def __init__(self, load: Load, options: ManagerOptions | None = None, on_event: Listener | None = None) -> None:
        """Takes what loads a version; nothing happens before `start` and `apply`.

        Args:
            load: called in a thread of the manager's.
            options: how versions come and go.
            on_event: told of every change of state and every try to load, in order for each version, from threads of
                the manager's. It must not wait.
        """
        self._options = options = options or ManagerOptions()
        self._lifecycle = Lifecycle(
            load,
            load_threads=options.load_threads,
            max_retries=options.max_load_retries,
            retry_interval_s=options.retry_interval_s,
            on_event=on_event,
        )
        self._changed = self._lifecycle.changed
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._folders = Folders()
        self._is_stopped = False
        self._is_poll_due = False
        self._accepted: Any = None  # the configuration that holds
        self._watcher = threading.Thread(target=self._watch, name="watch-models", daemon=True)

    def lease(self, name: str, *, version: int | None = None, label: str | None = None) -> Lease:
        """Lends a version to a request; never waits for a load.

        Args:
            name: of the model.
            version: its number; None, without a label, for the newest that answers.
            label: instead of a version.

        Raises:
            ServingError: NOT_FOUND when no such version answers; INVALID_ARGUMENT for an empty name or unknown label.
        """
        if not name:
            raise ServingError(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        if label is not None:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise ServingError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        while (held := self._lifecycle.serving.get((name, version))) is not None:
            if held.acquire():
                return Lease(held)
        request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {request}")

    def status(self, name: str, *, version: int | None = None, label: str | None = None) -> list[VersionStatus]:
        """Tells the states of a model's versions, newest first.

        Args:
            name: of the model.
            version: only this one.
            label: has no effect, as in TensorFlow Serving.

        Raises:
            ServingError: NOT_FOUND when nothing is known of it.
        """
        with self._changed:
            model = self._lifecycle.models.get(name)
            statuses = dict(model.statuses) if model else {}
        if version is not None:
            if version not in statuses:
                raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
            return [statuses[version]]
        if not statuses:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return [statuses[number] for number in sorted(statuses, reverse=True)]

    def models(self) -> list[str]:
        """Names the configured models, in the order of the configuration."""
        with self._changed:
            return [name for name, model in self._lifecycle.models.items() if model.config is not None]

    @property
    def is_ready(self) -> bool:
        """Whether there are models and each has a version that answers."""
        names = self.models()
        return bool(names) and all((name, None) in self._lifecycle.serving for name in names)

    def start(self) -> None:
        """Starts to look into the models' folders."""
        self._watcher.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """Lends nothing any more, waits for the requests that are there, and unloads everything.

        Args:
            timeout_s: waits no longer than this; None for ever.

        Returns:
            Whether everything is unloaded.
        """
        with self._changed:
            self._is_stopped = True
            models = self._lifecycle.models.values()
            for model in models:
                model.aspired = {}
            self._lifecycle.advance()
            return self._changed.wait_for(lambda: not any(model.versions for model in models), timeout_s)

    def apply(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        *,
        is_waiting: bool = True,
        timeout_s: float | None = None,
        on_accept: Callable[[], object] | None = None,
    ) -> None:
        """Serves the models of a configuration from now on, and no others; call `start` before.

        Args:
            config: an empty one changes nothing.
            is_waiting: whether to return only when every model that is new answers, or cannot be loaded.
            timeout_s: waits no longer than this; None for ever.
            on_accept: called when the configuration is found right, before its models are waited for. It must not wait.

        Raises:
            ServingError: the configuration is wrong, and nothing has changed; or, UNKNOWN, a new model did not become
                available, and the configuration holds; or, DEADLINE_EXCEEDED, the time is over, and it holds too; or,
                ABORTED, another one holds.
        """
        if config.WhichOneof("config") is None:
            return
        models = checked(config)
        with self._changed:
            new = self._accept(models)
            if config != self._accepted:
                self._accepted = copy.deepcopy(config)
            if on_accept is not None:
                on_accept()
            if is_waiting:
                self._wait_for(new, timeout_s)

    def poll(self) -> None:
        """Looks into every model's folder once, now, in the calling thread."""
        with self._changed:
            configs = {model.name: model.config for model in self._lifecycle.models.values() if model.config}
        for name, config in configs.items():
            try:
                self._look(name, config)
            except Exception:  # whatever is wrong with one model, the others' new versions must be found
                _LOG.exception("looking for versions of model %s failed", name)

    def _look(self, name: str, config: Any) -> None:
        """Looks into one model's folder."""
        aspired = self._folders.look(config)
        with self._changed:
            model = self._lifecycle.models[name]
            if aspired is not None and model.config is config and not self._is_stopped:
                model.aspired = aspired
                self._lifecycle.advance()

    def _accept(self, configs: Mapping[str, Any]) -> list[str]:
        """Takes over a checked configuration; returns the models that are new."""
        models = self._lifecycle.models
        available = {name: set(model.available()) for name, model in models.items()}
        labels = labels_of(configs, available, self._labels, is_early_allowed=self._options.are_early_labels_allowed)
        new = [name for name in configs if name not in models or models[name].config is None]
        ordered = {name: models.get(name) or Model(name) for name in configs}
        self._lifecycle.models = ordered | {name: model for name, model in models.items() if name not in configs}
        self._labels = labels
        for name, model in self._lifecycle.models.items():
            model.config = configs.get(name)
            if model.config is None:
                model.aspired = {}
        self._is_poll_due = self._options.poll_wait_s >= 0
        self._lifecycle.advance()
        return new

    def _wait_for(self, names: Sequence[str], timeout_s: float | None) -> None:
        """Waits, with the lock given up meanwhile; a model that another configuration takes away is not waited for."""
        models = [self._lifecycle.models[name] for name in names]
        mine = self._accepted

        def is_over() -> bool:
            """Says whether there is nothing left to wait for."""
            return self._is_stopped or self._accepted is not mine or not any(map(_is_coming, models))

        is_in_time = self._changed.wait_for(is_over, timeout_s)
        if self._is_stopped:
            raise ServingError(Code.UNAVAILABLE, "the server is stopping")
        if self._accepted is not mine and any(map(_is_coming, models)):
            raise ServingError(Code.ABORTED, "another configuration was applied before all models were available")
        if not is_in_time:
            late = ", ".join(model.name for model in models if _is_coming(model))
            raise ServingError(Code.DEADLINE_EXCEEDED, f"model(s) did not become available in {timeout_s} s: {late}")
        failed = {model.name: model.failed() for model in models if model.failed()}
        if failed:
            errors = "".join(
                f"{{{{name: {name} version: {one.version}}} due to error: {one.code.name}: {one.message}}}, "
                for name, statuses in failed.items()
                for one in statuses
            )
            raise ServingError(Code.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{errors}}}")

    def _watch(self) -> None:
        """Looks into the folders and tries loads again when it is time."""
        next_poll = None
        while True:
            with self._changed:
                if self._is_stopped:
                    return
                now = time.monotonic()
                next_retry = self._lifecycle.retry_due(now)
                if not self._is_poll_due and (next_poll is None or now < next_poll):
                    due = [moment for moment in (next_poll, next_retry) if moment is not None]
                    self._changed.wait(min(due) - now if due else None)
                    continue
                self._is_poll_due = False
            self.poll()
            next_poll = time.monotonic() + self._options.poll_wait_s if self._options.poll_wait_s > 0 else None


def _is_coming(model: Model) -> bool:
    """Says whether a model is still to be waited for."""
    return model.config is not None and not model.available() and not model.failed()
