"""What the manager knows of one model: its versions, where each is, and what is said of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.model_server.events import State, VersionStatus
from serving.model_server.leases import Held
from serving.model_server.policy import Action, Phase, Snapshot, next_action

_ENDED_KEPT = 100  # versions that are gone and still told of; a server that swaps daily must not grow


@dataclasses.dataclass(kw_only=True)
class Managed:
    """One version that is wanted or still here.

    Attributes:
        version: its number.
        path: its folder.
        phase: where it is.
        is_wanted: whether configuration and folder ask for it.
        held: the loaded model, in the phases READY and UNLOADING.
        failures: how often loading has failed.
        retry_at: when to try again, in seconds of `time.monotonic`; None when not waiting to.
    """

    version: int
    path: Path
    phase: Phase = Phase.NEW
    is_wanted: bool = True
    held: Held | None = None
    failures: int = 0
    retry_at: float | None = None


class Model:
    """The versions of one model; the manager's lock guards it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.config: Any = None  # `ModelConfig`; None once the model has left the configuration
        self.aspired: Mapping[int, Path] = {}
        self.versions: dict[int, Managed] = {}
        self.statuses: dict[int, VersionStatus] = {}

    def reconcile(self) -> list[VersionStatus]:
        """Marks what is wanted and what is not; returns the statuses that follow at once.

        A version that failed and is no longer wanted is forgotten, so that it is tried again when it comes back. One
        that is being unloaded and is wanted again waits until it is gone.
        """
        statuses = []
        for version, managed in list(self.versions.items()):
            managed.is_wanted = version in self.aspired
            if not managed.is_wanted and (managed.phase in (Phase.NEW, Phase.ERROR) or managed.retry_at is not None):
                del self.versions[version]
                last = self.statuses[version]
                statuses.append(VersionStatus(version, State.END, last.code, last.message))
        for version, path in self.aspired.items():
            if version not in self.versions:
                self.versions[version] = Managed(version=version, path=path)
                statuses.append(VersionStatus(version, State.START))
        return statuses

    def next_action(self) -> Action | None:
        """Asks the policy."""
        return next_action([Snapshot(one.version, one.phase, one.is_wanted) for one in self.versions.values()])

    def set_status(self, status: VersionStatus) -> None:
        """Notes a status; of what has ended, only the newest hundred are kept."""
        self.statuses[status.version] = status
        ended = [one.version for one in self.statuses.values() if one.state is State.END]
        for version in sorted(ended)[:-_ENDED_KEPT]:
            if version not in self.versions:
                del self.statuses[version]

    def available(self) -> dict[int, Held]:
        """Returns what answers, by version."""
        ready = (one for one in self.versions.values() if one.phase is Phase.READY)
        return {one.version: one.held for one in ready if one.held is not None}

    def failed(self) -> list[VersionStatus]:
        """Returns the wanted versions that could not be loaded, if no wanted one answers or is still on its way."""
        wanted = [one for one in self.versions.values() if one.is_wanted]
        if not wanted or not all(one.phase is Phase.ERROR for one in wanted):
            return []
        return [self.statuses[one.version] for one in wanted]
