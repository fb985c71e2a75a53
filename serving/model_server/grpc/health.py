"""`grpc.health.v1.Health`: whether the server answers, asked for once or listened to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2

from serving.model_server.errors import Code, ServingError
from serving.model_server.grpc import calls

if TYPE_CHECKING:
    from serving.model_server.grpc.exchange import Done

NAME = "grpc.health.v1.Health"
_STATES = health_pb2.HealthCheckResponse


class Health:
    """The states of the services, and who wants to know when they change."""

    def __init__(self, names: Iterable[str]) -> None:
        """Takes the services that are known; "" is the server."""
        self._states = dict.fromkeys(names, _STATES.NOT_SERVING)
        self._listeners: dict[Callable[[bytes], None], str] = {}

    def set_serving(self, is_serving: bool) -> None:
        """Says whether all of them answer."""
        state = _STATES.SERVING if is_serving else _STATES.NOT_SERVING
        for name, before in self._states.items():
            self._states[name] = state
            for tell, wanted in list(self._listeners.items()):
                if wanted == name and before != state:
                    tell(_written(state))

    def check(self, message: bytes, _context: object, done: Done) -> None:
        """Tells the state of a service.

        Raises:
            ServingError: NOT_FOUND, there is none of this name.
        """
        name = calls.parse(health_pb2.HealthCheckRequest, message).service
        if name not in self._states:
            raise ServingError(Code.NOT_FOUND, f"unknown service: {name[:200]}")
        done(_written(self._states[name]), None)

    def watch(self, message: bytes, tell: Callable[[bytes], None]) -> Callable[[], None]:
        """Tells the state of a service now and whenever it changes; returns what ends that."""
        name = calls.parse(health_pb2.HealthCheckRequest, message).service
        self._listeners[tell] = name
        tell(_written(self._states.get(name, _STATES.SERVICE_UNKNOWN)))

        def end() -> None:
            """Tells no more."""
            self._listeners.pop(tell, None)

        return end


def _written(state: int) -> bytes:
    return bytes(_STATES(status=state).SerializeToString())
