"""The gRPC server: ports, credentials, limits, health and reflection around the two services."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from serving.model_server.errors import Code, ServingError
from serving.model_server.grpc import model_service, prediction

if TYPE_CHECKING:
    from serving.model_server.data_plane import DataPlane

_PREDICTION, _MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"
_HEALTH_NAMES = ("", "ModelService", "PredictionService", _MODEL, _PREDICTION)
_DEFAULT_ARGUMENTS = {
    "grpc.so_reuseport": 0,  # else a second server on the same port takes half of the requests, silently
    "grpc.http2.bdp_probe": 0,  # no pings to measure the network: on one machine they only cost
    "grpc.tcp_read_chunk_size": 65_536,
}
_TOKEN_KEY = "authorization"
_REFUSING_S = 0.3  # from when new calls are refused until the server stops, which treats them worse
_OPEN = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name  # probes have no token


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrpcOptions:
    """How the server listens.

    Attributes:
        port: TCP port; 0 for none, unless `any_port`.
        host: address of the port.
        any_port: have the system choose a port, for tests.
        socket_path: of a UNIX socket; "" for none.
        credentials: `grpc.ServerCredentials` for port and socket; None without TLS.
        accepts: whether a request with this `authorization` metadata (None without) may pass; None lets all pass.
        max_message_bytes: of one request; larger ones get RESOURCE_EXHAUSTED.
        max_concurrent_calls: more at the same time get RESOURCE_EXHAUSTED.
        channel_arguments: of gRPC, from `--grpc_channel_arguments`.
        as_tensor_content: responses hold tensors as bytes and not in the fields of their types.
        has_health: whether the health service answers.
        reads_ids: whether the request log wants the clients' names of their requests.
    """

    port: int = 8500
    host: str = "127.0.0.1"
    any_port: bool = False
    socket_path: str = ""
    credentials: Any = None
    accepts: Callable[[str | None], bool] | None = None
    max_message_bytes: int = 64 << 20
    max_concurrent_calls: int = 4096
    channel_arguments: Sequence[tuple[str, int | str]] = ()
    as_tensor_content: bool = False
    has_health: bool = True
    reads_ids: bool = False


class GrpcServer:
    """A started server."""

    def __init__(
        self,
        server: aio.Server,
        port: int,
        services: Sequence[_Service],
        servicer: health.aio.HealthServicer | None,
    ) -> None:
        """Takes the parts; use `start`."""
        self.port = port
        self._server = server
        self._services = services
        self._health = servicer

    async def set_serving(self, is_serving: bool) -> None:
        """Says on the health service whether requests are answered."""
        status = health_pb2.HealthCheckResponse
        if self._health is not None:
            for name in _HEALTH_NAMES:
                await self._health.set(name, status.SERVING if is_serving else status.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls, waits for those that are there, and cancels what is left after the grace.

        Args:
            grace_s: seconds.
        """
        await self.set_serving(False)
        # A server of gRPC that stops cancels the calls it has not looked at, and nobody tries again what is CANCELLED.
        for service in self._services:
            service.refuse()
        refusing_s = min(grace_s, _REFUSING_S)
        await asyncio.sleep(refusing_s)
        await self._server.stop(grace_s - refusing_s)


async def start(plane: DataPlane, reload: model_service.Reload, options: GrpcOptions) -> GrpcServer:
    """Starts the server on the running loop.

    Args:
        plane: answers.
        reload: takes a ModelServerConfig for HandleReloadConfigRequest, in a thread of its own.
        options: how to listen.

    Raises:
        ServingError: neither a port nor a socket is given, or the port is taken.
    """
    server = aio.server(
        options=list(_arguments(options).items()),
        interceptors=[_Tokens(options.accepts)] if options.accepts else None,
        maximum_concurrent_rpcs=options.max_concurrent_calls,
    )
    answering = prediction.PredictionService(
        plane, as_content=options.as_tensor_content, reads_ids=options.reads_ids
    ).handlers()
    managing = model_service.ModelService(plane, reload).handlers()
    services = (_Service(_PREDICTION, answering), _Service(_MODEL, managing))
    server.add_generic_rpc_handlers(services)
    servicer = health.aio.HealthServicer() if options.has_health else None
    if servicer is not None:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    _describe_services()
    names = [_PREDICTION, _MODEL, reflection.SERVICE_NAME, *([health.SERVICE_NAME] if servicer else [])]
    reflection.enable_server_reflection(names, server, pool=_MethodPool())
    port = _listen(server, options)
    await server.start()
    started = GrpcServer(server, port, services, servicer)
    await started.set_serving(True)
    return started


def parse_channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Reads `--grpc_channel_arguments`: `key=value,key=value`; whole numbers become numbers.

    Raises:
        ServingError: a part has no `=`.
    """
    found: list[tuple[str, int | str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, sign, value = part.partition("=")
        if not sign or not key:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"--grpc_channel_arguments must be key=value pairs with commas between, got {part!r}. "
                "Write for instance grpc.max_connection_age_ms=600000.",
            )
        found.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return found


def _arguments(options: GrpcOptions) -> dict[str, int | str]:
    limits = {
        "grpc.max_receive_message_length": options.max_message_bytes,
        "grpc.max_send_message_length": -1,
    }
    return {**_DEFAULT_ARGUMENTS, **limits, **dict(options.channel_arguments)}


def _listen(server: aio.Server, options: GrpcOptions) -> int:
    """Opens port and socket; returns the port, 0 for none."""
    port = 0
    if not options.port and not options.any_port and not options.socket_path:
        raise ServingError(Code.INVALID_ARGUMENT, "At least one of --port or --grpc_socket_path must be set.")
    try:
        if options.port or options.any_port:
            port = _add_port(server, f"{options.host}:{options.port}", options.credentials)
        if options.socket_path:
            _clear_socket(options.socket_path)
            _add_port(server, f"unix:{options.socket_path}", options.credentials)
    except RuntimeError as error:
        raise ServingError(
            Code.UNAVAILABLE,
            f"the gRPC port must be free, but {options.host}:{options.port} cannot be listened on ({error}). "
            "Stop what uses it, or give another with --port.",
        ) from error
    return port


def _add_port(server: aio.Server, address: str, credentials: Any) -> int:
    if credentials is None:
        return int(server.add_insecure_port(address))
    return int(server.add_secure_port(address, credentials))


def _describe_services() -> None:
    """Has the descriptors of the two services in the pool, where reflection looks for them.

    Their modules are of an old generator and stumble over today's protobuf at their ends; what is wanted of them is in
    the pool by then.
    """
    for name in ("prediction_service_pb2", "model_service_pb2"):
        with contextlib.suppress(AttributeError):
            importlib.import_module(f"tensorflow_serving.apis.{name}")


def _clear_socket(path: str) -> None:
    """Removes the socket of a server that was killed; another kind of file stays, and listening fails."""
    if Path(path).is_socket():
        os.unlink(path)


class _Service(grpc.GenericRpcHandler):
    """The methods of a service, until it refuses."""

    def __init__(self, name: str, methods: Mapping[str, Any]) -> None:
        self._handlers = {
            f"/{name}/{method}": grpc.unary_unary_rpc_method_handler(answer) for method, answer in methods.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Finds what answers a call; None where that is not of this service."""
        return self._handlers.get(handler_call_details.method)

    def refuse(self) -> None:
        """Has calls from now on told to try elsewhere."""
        self._handlers = dict.fromkeys(self._handlers, grpc.unary_unary_rpc_method_handler(_refuse_to_begin))


class _MethodPool:
    """The pool of descriptors, which also finds the file of a method: clients such as ghz ask reflection for one."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """Finds the file of a message, a service or a method."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            if method not in self._pool.FindServiceByName(service).methods_by_name:
                raise
            return self._pool.FindFileContainingSymbol(service)


class _Tokens(aio.ServerInterceptor):
    """Refuses calls without a known bearer token."""

    def __init__(self, accepts: Callable[[str | None], bool] | None) -> None:
        self._accepts = accepts
        self._refusal = grpc.unary_unary_rpc_method_handler(_refuse)

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Lets a call pass to its handler, or to the one that refuses."""
        if handler_call_details.method.startswith(f"/{_OPEN}/"):
            return await continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata or ())
        if self._accepts is None or self._accepts(metadata.get(_TOKEN_KEY)):
            return await continuation(handler_call_details)
        return self._refusal


async def _refuse_to_begin(_request: bytes, context: Any) -> bytes:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
    return b""


async def _refuse(_request: bytes, context: Any) -> bytes:
    await context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "a bearer token is needed: send it as metadata `authorization: Bearer TOKEN`, one of those in the server's "
        "file of tokens.",
    )
    return b""
