"""What happens to the versions of models: their states, and the events that metrics and logs are made of."""

from __future__ import annotations

import dataclasses
import enum
import logging
from collections.abc import Callable
from pathlib import Path

from serving.model_server.errors import Code, ServingError

_LOG = logging.getLogger(__name__)


class State(enum.IntEnum):
    """State of a version, with the numbers of `tensorflow.serving.ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What GetModelStatus says of a version.

    Attributes:
        version: number of the version.
        state: where it is in its life; END with a code other than OK is a version that could not be loaded.
        code: OK, or why its last load failed.
        message: the reason in words; "" with OK.
    """

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StateChange:
    """A version has reached a state.

    Attributes:
        model: name of the model.
        status: of the version, from now on.
    """

    model: str
    status: VersionStatus


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadAttempt:
    """One try to load a version has ended.

    Attributes:
        model: name of the model.
        path: folder of the version.
        seconds: how long it took.
        error: why it failed; None if it did not.
    """

    model: str
    path: Path
    seconds: float
    error: ServingError | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUp:
    """The warm-up requests of a version have been answered, or one of them has failed.

    Attributes:
        model: name of the model.
        path: folder of the version.
        seconds: how long all of them took.
        records: how many were read.
        error: why one failed; None if none did.
    """

    model: str
    path: Path
    seconds: float
    records: int
    error: ServingError | None


Event = StateChange | LoadAttempt | WarmUp
Listener = Callable[[Event], None]


def tell(listener: Listener | None, event: Event) -> None:
    """Calls a listener; one that fails is logged and stops nothing."""
    if listener is None:
        return
    try:
        listener(event)
    except Exception as error:
        _LOG.exception("a listener failed on %s: %s", event, error)
