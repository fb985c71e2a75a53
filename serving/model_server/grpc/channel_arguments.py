"""`--grpc_channel_arguments`: those of gRPC's arguments that mean something to this server."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping

from applications.errors import ConfigError
from serving.model_server.http2 import frames
from serving.model_server.http2.limits import Limits

_MS = 1e-3
_ENDLESS = 2**31 - 1  # gRPC's INT_MAX
_LOG = logging.getLogger(__name__)


def _seconds(value: int) -> float:
    return math.inf if value >= _ENDLESS or value < 0 else value * _MS


def _bytes(value: int) -> int:
    return _ENDLESS if value < 0 else value


def _within(least: int, most: int) -> Callable[[int], int]:
    """Returns what brings a number into the range that HTTP/2 allows, as gRPC's own servers do."""
    return lambda value: min(max(value, least), most)


_LIMITS: Mapping[str, tuple[str, Callable[[int], float | int]]] = {
    "grpc.max_connection_idle_ms": ("idle_timeout_s", _seconds),
    "grpc.max_connection_age_ms": ("max_age_s", _seconds),
    "grpc.max_connection_age_grace_ms": ("age_grace_s", _seconds),
    "grpc.keepalive_time_ms": ("keepalive_s", _seconds),
    "grpc.keepalive_timeout_ms": ("keepalive_timeout_s", _seconds),
    "grpc.max_concurrent_streams": ("max_streams", _bytes),
    "grpc.max_metadata_size": ("max_head_bytes", _bytes),
    "grpc.http2.max_frame_size": ("max_frame_bytes", _within(frames.LEAST_FRAME_BYTES, frames.MOST_FRAME_BYTES)),
    "grpc.http2.lookahead_bytes": ("stream_window_bytes", _within(frames.DEFAULT_WINDOW, frames.MOST_WINDOW)),
}
_RECEIVE, _SEND, _REUSE = "grpc.max_receive_message_length", "grpc.max_send_message_length", "grpc.so_reuseport"
KNOWN = (*_LIMITS, _RECEIVE, _SEND, _REUSE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelArguments:
    """What the arguments change.

    Attributes:
        limits: of connections and requests.
        max_receive_bytes: of a request's message; None where no argument says.
        max_send_bytes: of a response's message.
        reuses_port: whether other servers may listen on the same port.
    """

    limits: Limits = dataclasses.field(default_factory=Limits)
    max_receive_bytes: int | None = None
    max_send_bytes: int = _ENDLESS
    reuses_port: bool = False


def parse(text: str) -> ChannelArguments:
    """Reads the flag: `key=value,key=value`. Arguments without meaning here are named in the log.

    Raises:
        ConfigError: a part has no `=`, or what must be a number is none.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, sign, value = part.partition("=")
        if not sign or not key:
            raise ConfigError(
                f"--grpc_channel_arguments must be key=value pairs with commas between, got {part!r}. "
                "Write for instance grpc.max_connection_age_ms=600000."
            )
        found[key] = value
    unknown = sorted(set(found) - set(KNOWN))
    if unknown:
        _LOG.warning(
            "--grpc_channel_arguments: %s: of no effect here; these have one: %s", ", ".join(unknown), ", ".join(KNOWN)
        )
    numbers = {key: _number(key, value) for key, value in found.items() if key in KNOWN}
    changes = {_LIMITS[key][0]: _LIMITS[key][1](value) for key, value in numbers.items() if key in _LIMITS}
    receive = numbers.get(_RECEIVE)
    return ChannelArguments(
        limits=dataclasses.replace(Limits(), **changes),  # type: ignore[arg-type]
        max_receive_bytes=None if receive is None else _bytes(receive),
        max_send_bytes=_bytes(numbers.get(_SEND, -1)),
        reuses_port=bool(numbers.get(_REUSE, 0)),
    )


def _number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise ConfigError(
            f"--grpc_channel_arguments: {key} must be a whole number, got {value!r}. Write for instance {key}=1000."
        ) from error
