"""The gRPC server: ports, credentials, limits, health and reflection around the two services."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from serving.model_server.errors import Code, ServingError
from serving.model_server.grpc import health, model_service, prediction, reflection, wire
from serving.model_server.grpc.channel_arguments import ChannelArguments
from serving.model_server.grpc.exchange import Begin, Board, Conversation, Exchange, Refused, Subscription, Unary
from serving.model_server.http2.connection import Connection
from serving.model_server.watch import CHECK_S, Watch

if TYPE_CHECKING:
    from serving.model_server.data_plane import DataPlane
    from serving.model_server.http2.heads import Head
    from serving.model_server.http2.streams import Stream

_PREDICTION, _MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"
_HEALTH_NAMES = ("", "ModelService", "PredictionService", _MODEL, _PREDICTION)
_BACKLOG = 1024
_HANDSHAKE_S = 10.0
_SHARE_OF_GUESTS, _SHARE_OF_LISTENERS = 4, 8  # that part of all calls may need no token, and listen to health
_TOKEN_KEY = b"authorization"
_OPEN = f"/{health.NAME}/".encode()  # probes have no token
_CONTENT_TYPE = re.compile(rb"application/grpc(\Z|[+;])")
_METHOD_NOT_ALLOWED, _UNSUPPORTED_MEDIA_TYPE = 405, 415
_UNKNOWN = (Code.UNIMPLEMENTED, "no gRPC")
_NO_TOKEN = ServingError(
    Code.UNAUTHENTICATED,
    "a bearer token is needed: send it as metadata `authorization: Bearer TOKEN`, one of those in the server's "
    "file of tokens.",
)

Make = Callable[["Stream", "Head", int], Exchange]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrpcOptions:
    """How the server listens.

    Attributes:
        port: TCP port; 0 for none, unless `any_port`.
        host: address of the port.
        any_port: have the system choose a port, for tests.
        socket_path: of a UNIX socket; "" for none.
        tls: for port and socket; None without TLS.
        accepts: whether a request with this `authorization` metadata (None without) may pass; None lets all pass.
        max_message_bytes: of one request; larger ones get RESOURCE_EXHAUSTED.
        max_concurrent_calls: more at the same time get RESOURCE_EXHAUSTED.
        arguments: from `--grpc_channel_arguments`.
        as_tensor_content: responses hold tensors as bytes and not in the fields of their types.
        has_health: whether the health service answers.
        reads_ids: whether the request log wants the clients' names of their requests.
    """

    port: int = 8500
    host: str = "127.0.0.1"
    any_port: bool = False
    socket_path: str = ""
    tls: ssl.SSLContext | None = None
    accepts: Callable[[str | None], bool] | None = None
    max_message_bytes: int = 64 << 20
    max_concurrent_calls: int = 4096
    arguments: ChannelArguments = ChannelArguments()
    as_tensor_content: bool = False
    has_health: bool = True
    reads_ids: bool = False


class GrpcServer:
    """A server; `start` makes and starts it.

    Attributes:
        connections: those that are open.
        held_bytes: of requests that are not answered yet.
        open_streams: requests that are not answered yet.
        open_guests: of them, those that need no token: they must not take the places of the others.
        is_ending: whether clients are sent elsewhere.
        limits: of connections and requests.
    """

    def __init__(self, methods: Mapping[bytes, Make], state: health.Health, options: GrpcOptions) -> None:
        """Takes the parts.

        Args:
            methods: what takes a call, by the method's path.
            state: told whether the server answers.
            options: how to listen.
        """
        self.connections: set[Connection] = set()
        self.held_bytes = 0
        self.open_streams = 0
        self.open_guests = 0
        self.is_ending = False
        self.limits = options.arguments.limits
        self._methods = methods
        self._health = state
        self._options = options
        received = options.arguments.max_receive_bytes
        self._max_bytes = options.max_message_bytes if received is None else received
        self._listeners: list[asyncio.Server] = []
        self._watch = Watch(self.connections)

    @property
    def port(self) -> int:
        """TCP port it listens on; 0 for none."""
        names = [one.getsockname() for listener in self._listeners for one in listener.sockets]
        return next((int(name[1]) for name in names if isinstance(name, tuple)), 0)

    def open(self, stream: Stream, head: Head) -> None:
        """Gives a call what takes it, or refuses it."""
        try:
            make = self._method_of(stream, head)
            if make is None:
                stream.receiver = _NotGrpc(stream, head)
            else:
                stream.receiver = make(stream, head, self._max_bytes)
        except ServingError as error:
            Refused(stream, head, error)

    def _method_of(self, stream: Stream, head: Head) -> Make | None:
        """Returns what takes a call; None for a request that is no gRPC.

        Raises:
            ServingError: the call is refused.
        """
        options, fields = self._options, head.fields
        path = fields[b":path"]
        kind = fields.get(b"content-type", b"")
        if fields[b":method"] != b"POST" or not _CONTENT_TYPE.match(kind):
            self._take_guest(stream)
            return None
        if path.startswith(_OPEN):
            self._take_guest(stream)
        elif options.accepts is not None:
            if not options.accepts(head.text(_TOKEN_KEY) if _TOKEN_KEY in fields else None):
                raise _NO_TOKEN
        make = self._methods.get(path)
        if make is None:
            raise ServingError(
                Code.UNIMPLEMENTED, f"unknown method: {path[:200].decode('utf-8', 'replace')}; reflection lists all"
            )
        if self.open_streams - self.open_guests > options.max_concurrent_calls:
            raise _too_many(options.max_concurrent_calls, "calls")
        return make

    def _take_guest(self, stream: Stream) -> None:
        most = self._options.max_concurrent_calls // _SHARE_OF_GUESTS
        if self.open_guests >= most:
            raise _too_many(most, "requests that need no token")
        stream.is_guest = True
        self.open_guests += 1

    async def listen(self) -> None:
        """Opens port and socket, on the running loop.

        Raises:
            ServingError: neither is wanted, or the port is taken.
        """
        options, loop = self._options, asyncio.get_running_loop()
        if not options.port and not options.any_port and not options.socket_path:
            raise ServingError(Code.INVALID_ARGUMENT, "At least one of --port or --grpc_socket_path must be set.")
        handshake_s = None if options.tls is None else _HANDSHAKE_S
        factory = partial(Connection, self, loop)
        try:
            if options.port or options.any_port:
                reuses = options.arguments.reuses_port
                self._listeners.append(
                    await loop.create_server(
                        factory,
                        options.host,
                        options.port,
                        ssl=options.tls,
                        backlog=_BACKLOG,
                        reuse_port=reuses or None,
                        ssl_handshake_timeout=handshake_s,
                    )
                )
            if options.socket_path:
                _clear_socket(options.socket_path)
                self._listeners.append(
                    await loop.create_unix_server(
                        factory, options.socket_path, ssl=options.tls, ssl_handshake_timeout=handshake_s
                    )
                )
        except OSError as error:
            raise ServingError(
                Code.UNAVAILABLE,
                f"the gRPC port must be free, but {options.host}:{options.port} cannot be listened on ({error}). "
                "Stop what uses it, or give another with --port.",
            ) from error
        self._watch.start()

    def set_serving(self, is_serving: bool) -> None:
        """Says on the health service whether requests are answered."""
        self._health.set_serving(is_serving)

    async def stop(self, grace_s: float) -> None:
        """Sends clients elsewhere, answers what they have asked, and ends all connections.

        Args:
            grace_s: seconds after which the calls that are left get UNAVAILABLE.
        """
        begun_s = time.monotonic()
        self.is_ending = True
        self.set_serving(False)
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.stop_patient()
            connection.go_away()
        await self._watch.until_empty(grace_s)
        for connection in list(self.connections):
            connection.stop()
        await self._watch.until_empty(max(CHECK_S, grace_s - (time.monotonic() - begun_s)))
        for connection in list(self.connections):
            connection.abort()
        self._watch.stop()


async def start(plane: DataPlane, reload: model_service.Reload, options: GrpcOptions) -> GrpcServer:
    """Starts the server on the running loop.

    Args:
        plane: answers.
        reload: takes a ModelServerConfig for HandleReloadConfigRequest, in a thread of its own.
        options: how to listen.

    Raises:
        ServingError: neither a port nor a socket is given, or the port is taken.
    """
    answering = prediction.PredictionService(
        plane, as_content=options.as_tensor_content, reads_ids=options.reads_ids
    ).handlers()
    managing = model_service.ModelService(plane, reload).handlers()
    state = health.Health(_HEALTH_NAMES)
    names = [_PREDICTION, _MODEL, *([health.NAME] if options.has_health else [])]
    methods: dict[bytes, Make] = {
        **_unary(_PREDICTION, answering, options.arguments.max_send_bytes),
        **_unary(_MODEL, managing, options.arguments.max_send_bytes),
        f"/{reflection.NAME}/ServerReflectionInfo".encode(): partial(
            Conversation, reply=reflection.Reflection(names).reply
        ),
    }
    if options.has_health:
        methods.update(_unary(health.NAME, {"Check": state.check}, options.arguments.max_send_bytes))
        board = Board(state.watch, options.max_concurrent_calls // _SHARE_OF_LISTENERS)
        methods[f"/{health.NAME}/Watch".encode()] = partial(Subscription, board=board)
    server = GrpcServer(methods, state, options)
    await server.listen()
    server.set_serving(True)
    return server


def _unary(service: str, handlers: Mapping[str, Begin], max_answer_bytes: int) -> dict[bytes, Make]:
    return {
        f"/{service}/{name}".encode(): partial(Unary, begin=begin, max_answer_bytes=max_answer_bytes)
        for name, begin in handlers.items()
    }


def _too_many(most: int, what: str) -> ServingError:
    return ServingError(Code.RESOURCE_EXHAUSTED, f"there are {most} {what} already; try again later")


def _clear_socket(path: str) -> None:
    """Removes the socket of a server that was killed; another kind of file stays, and listening fails."""
    if Path(path).is_socket():
        os.unlink(path)


class _NotGrpc(Refused):
    """A request that is HTTP/2, and no gRPC: it is told so in HTTP's words, when it is whole."""

    def __init__(self, stream: Stream, head: Head) -> None:
        self._stream = stream
        self.head = head

    def end(self) -> None:
        """Answers."""
        is_post = self.head.fields[b":method"] == b"POST"
        status = wire.http_status(_UNSUPPORTED_MEDIA_TYPE if is_post else _METHOD_NOT_ALLOWED)
        self._stream.respond(status, b"This port speaks gRPC: POST application/grpc.\n", wire.status(*_UNKNOWN))
